/* Where the boot stub begins: 64-bit, memory mapped at its own address, RSI the page that says what
 * there is to do. */
    .section .text.start, "ax"
    .code64
    .globl start
start:
    cli
    lea stack_end(%rip), %rsp
    mov %rsi, %rdi
    call stub_main
    /* RAX: the kernel's entry; RDX: its boot_params */
    mov %rdx, %rsi
    jmp *%rax

    .bss
    .balign 16
    .skip 16384
stack_end:

    .section .note.GNU-stack, "", @progbits
