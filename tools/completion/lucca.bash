# Completion of lucca for bash. shellcheck shell=bash
_lucca()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local command=${COMP_WORDS[1]}

    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "run monitor platform kds version help" -- "$cur")
        return
    fi
    case $command in
    run) _lucca_run "$cur" "$prev" ;;
    help) mapfile -t COMPREPLY < <(compgen -W "run monitor platform kds" -- "$cur") ;;
    platform)
        if ((COMP_CWORD == 2)); then
            mapfile -t COMPREPLY < <(compgen -W "create list show certs delete" -- "$cur")
        elif [[ $prev == create ]]; then
            mapfile -t COMPREPLY < <(compgen -W "naples rome milan genoa turin" -- "$cur")
        elif [[ $prev == show || $prev == certs || $prev == delete ]]; then
            mapfile -t COMPREPLY < <(compgen -W "$(_lucca_platforms)" -- "$cur")
        elif [[ $prev == --export || $prev == --out ]]; then
            mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        else
            mapfile -t COMPREPLY < <(compgen -W "--json --export --out --tcb --vlek --help" -- "$cur")
        fi
        ;;
    kds)
        if ((COMP_CWORD == 2)); then
            mapfile -t COMPREPLY < <(compgen -W "serve" -- "$cur")
        else
            mapfile -t COMPREPLY < <(compgen -W "--listen --vlek --help" -- "$cur")
        fi
        ;;
    *) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    esac
}

_lucca_platforms()
{
    lucca platform list 2>/dev/null | awk '$1 != "NAME" && NF == 4 { print $1 }'
}

_lucca_run()
{
    local cur=$1 words=

    case $2 in
    --sev) words="off sev" ;;
    --chip) words="naples rome milan genoa turin" ;;
    --platform) words=$(_lucca_platforms) ;;
    --clock) words="virtual host" ;;
    --dram) words="lazy eager" ;;
    --device) words="debug-exit testdev" ;;
    --serial | -s | --console) words="stdio none file:" ;;
    --net | -n) words="none user" ;;
    --drive | -d) words="file=" ;;
    --qmp) words="unix:" ;;
    --trace | -t) words="asp boot exit fault insn mmio irq virtio sev help" ;;
    --memory | -m | --cpus | -c | --append | -a | --policy | --name | --host-memory) return ;;
    *)
        words="--sev --chip --memory --cpus --kernel --initrd --append --drive --net --serial --console --qmp
            --device --policy --dh-cert-file --session-file --launch-image --paused --no-reboot --name
            --platform --host-memory --clock --dram --trace --stats --config --help"
        [[ $cur == -* ]] || words=
        ;;
    esac
    if [[ $words ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
    [[ ${COMPREPLY[0]} != *[:=] ]] || compopt -o nospace
}

complete -o filenames -F _lucca lucca
