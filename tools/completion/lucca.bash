# Completion of lucca for bash. shellcheck shell=bash
_lucca()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local command=${COMP_WORDS[1]}

    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "run monitor platform kds measure idblock owner report policy certs version help" -- "$cur")
        return
    fi
    case $command in
    run) _lucca_run "$cur" "$prev" ;;
    help) mapfile -t COMPREPLY < <(compgen -W "run monitor platform kds measure idblock owner report policy certs" -- "$cur") ;;
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
    measure | idblock | owner) _lucca_owner "$cur" "$prev" "$command" ;;
    report | policy | certs) _lucca_attest "$cur" "$prev" "$command" "${COMP_WORDS[2]}" ;;
    *) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    esac
}

_lucca_owner()
{
    local cur=$1 words=
    local launch="--mode --vcpus --vcpu-type --vcpu-sig --vcpu-family --vcpu-model --vcpu-stepping --vmm-type
        --guest-features --ovmf --snp-ovmf-hash --kernel --initrd --append --svsm --vars-size --vars-file
        --launch-image --ovmf-candidate --kernel-candidate --initrd-candidate --append-candidate --max-vcpus"

    case $2 in
    --mode) words="sev seves snp snp:ovmf-hash snp:svsm" ;;
    --vmm-type) words="QEMU ec2 gce KRUN" ;;
    --vcpu-type) words="EPYC-v4 EPYC-Rome EPYC-Milan EPYC-Genoa EPYC-Turin" ;;
    --output-format) words="hex base64 raw" ;;
    owner) words="verify-chain session measurement secret" ;;
    --vcpus | --vcpu-sig | --vcpu-family | --vcpu-model | --vcpu-stepping | --guest-features | --append | \
        --vars-size | --max-vcpus | --measurement | --family-id | --image-id | --guest-svn | --policy | \
        --api-major | --api-minor | --build-id | --launch-digest | --nonce | --gpa | --name) return ;;
    *)
        if [[ $cur == -* ]]; then
            case $3 in
            measure) words="$launch --explain --output-format --json --verbose --dump-vmsa --save-image --help" ;;
            idblock) words="--measurement --idkey --authorkey --family-id --image-id --guest-svn --policy
                --id-block --id-auth --output-format --json --help" ;;
            owner) words="$launch --root --trust-emulated --policy --name --unverified --tik --tek
                --launch-measure-blob --api-major --api-minor --build-id --launch-digest --nonce --secret --raw
                --header-file --packet-file --gpa --json --help" ;;
            esac
        elif [[ $3 == idblock && $COMP_CWORD == 2 ]]; then
            words="show digest"
        fi
        ;;
    esac
    if [[ $words ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}

_lucca_attest()
{
    local cur=$1 words=
    local trust="--at --root --trust-emulated --chain --crl"

    case $2 in
    report) words="show verify schema" ;;
    policy) words="explain init schema" ;;
    certs) words="fetch show verify import check" ;;
    --format) words="auto raw hex base64 extended msg hcl trustee" ;;
    --product) words="milan genoa turin" ;;
    --at | --kds | --patience | --chip-id | --tcb | --within) return ;;
    *)
        if [[ $cur == -* ]]; then
            case $3-$4 in
            report-show) words="--format --product --certs --json --help" ;;
            report-verify) words="$trust --vek --certs --policy --nonce --format --product --cache --fetch --kds
                --patience --json --ear --ear-evidence --help" ;;
            policy-explain) words="--all --json --help" ;;
            policy-init) words="--all --out --format --product --help" ;;
            certs-fetch) words="--cache --kds --patience --product --chip-id --tcb --json --help" ;;
            certs-verify) words="$trust --json --help" ;;
            certs-import) words="--cache --json --help" ;;
            certs-check) words="--cache --policy --within --at --json --prometheus --help" ;;
            *) words="--json --help" ;;
            esac
        fi
        ;;
    esac
    if [[ $words ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    fi
}

_lucca_platforms()
{
    lucca platform list 2>/dev/null | awk '$1 != "NAME" && NF == 4 { print $1 }'
}

_lucca_run()
{
    local cur=$1 words=

    case $2 in
    --sev) words="off sev es snp" ;;
    --rmp) words="faithful" ;;
    --chip) words="naples rome milan genoa turin" ;;
    --platform) words=$(_lucca_platforms) ;;
    --clock) words="virtual host" ;;
    --dram) words="lazy eager" ;;
    --device) words="debug-exit testdev" ;;
    --serial | -s | --console) words="stdio none file:" ;;
    --net | -n) words="none user" ;;
    --drive | -d) words="file=" ;;
    --qmp | --gdb) words="unix: tcp:" ;;
    --trace-format) words="text json" ;;
    --trace | -t) words="asp boot exit fault insn mmio irq virtio sev help" ;;
    --memory | -m | --cpus | -c | --append | -a | --policy | --name | --host-memory | --host-data | \
        --vmpl | --guest-request-rate) return ;;
    *)
        words="--sev --chip --memory --cpus --kernel --initrd --append --drive --net --serial --console --qmp --gdb
            --device --policy --dh-cert-file --session-file --launch-image --paused --no-reboot --name
            --platform --host-memory --clock --dram --trace --trace-format --stats --config --id-block --id-auth
            --host-data --vmpl --certs --guest-request-rate --rmp --boot-stub --help"
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
