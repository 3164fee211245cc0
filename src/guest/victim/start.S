/* Entry of the victim by PVH: 32-bit, paging off, flat segments. It makes no exit that would be #VC
 * before it has an IDT: the C-bit comes from the GHCB MSR where there is one (GHCB 2.03, 2.3.1).
 * Linear memory afterwards is that of the probe: 1 GiB private at 0, the same shared at 4 GiB. */
#include "guest/victim/victim.h"

#define CPUID_SEV    0x8000001F
#define MSR_GHCB     0xC0010130
#define MSR_SEV      0xC0010131
#define MSR_EFER     0xC0000080
#define PRESENT_1GIB 0x83
#define PRESENT      0x03

    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long start

    .section .text.start, "ax", @progbits
    .code32
    .globl start
start:
    cli
    cld
    movl $MSR_SEV, %ecx
    rdmsr
    movl %eax, sev_status
    testl $2, %eax
    jz 1f
    movl $MSR_GHCB, %ecx
    rdmsr
    shrl $24, %eax
    jmp 2f
1:
    movl $CPUID_SEV, %eax
    cpuid
    movl %ebx, %eax
    andl $63, %eax
2:
    leal -32(%eax), %ecx
    movl $1, %esi
    shll %cl, %esi
    movl $(pdpt + PRESENT), pml4
    movl %esi, pml4 + 4
    movl $PRESENT_1GIB, pdpt
    movl %esi, pdpt + 4
    movl $PRESENT_1GIB, pdpt + 4 * 8

    movl %cr4, %eax
    orl $0x20, %eax /* PAE */
    movl %eax, %cr4
    movl $pml4, %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl $0x100, %eax /* LME */
    wrmsr
    movl %cr0, %eax
    andl $0x9FFFFFFF, %eax /* caches on */
    orl $0x80000000, %eax
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $8, $long_mode

    .code64
long_mode:
    movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $stack_end, %esp
    call victim_start
    xorl %edi, %edi
/* Also where another processor begins, with a stack and its slot's number in EDI. */
    .globl victim_cpu
victim_cpu:
    movl %edi, %ebx
    imull $VICTIM_SLOT, %ebx, %ebp
    movl $1, %eax
    shlq $32, %rax
    addq $VICTIM_BOX, %rax
    addq %rax, %rbp
    movl $VICTIM_READY, (%rbp)
3:
    movl $VICTIM_R15, %r15d
4:
    pause
    cmpl $0, 4(%rbp) /* VICTIM_IDLE */
    je 4b
    movq %rbp, %rdi
    movq %r15, %rsi
    call victim_do
    jmp 3b

/* #VC and #GP, both with an error code. */
    .globl vc_entry
vc_entry:
    movq (%rsp), %rdi
    movq %cr2, %rsi
    call victim_vc
    .globl gp_entry
gp_entry:
    call victim_gp

    .section .data
    .balign 8
gdt:
    .quad 0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long gdt
    .globl sev_status
    .balign 8
sev_status:
    .quad 0

    .section .bss
    .balign 4096
pml4:
    .skip 4096
pdpt:
    .skip 4096
    .skip 8192
stack_end:
    .globl cpu_stack
    .skip 8192
cpu_stack:

    .section .note.GNU-stack, "", @progbits
