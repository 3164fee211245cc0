/* Entry of the probe, by multiboot 1 or PVH: 32-bit, paging off, flat segments. Builds page tables,
 * enters long mode and calls probe_main(EAX as it was, EBX as it was).
 *
 * Until paging is on every access of a SEV guest is private (APM2 15.34.5), so the tables and all
 * variables are private from the start. Linear memory afterwards:
 *
 *   00000000 .. 3FFFFFFF    the first GiB, private
 *   C0000000 .. FFFFFFFF    devices
 *  100000000 .. 13FFFFFFF   the first GiB again, shared with the host
 */
#define CPUID_SEV    0x8000001F
#define MSR_SEV      0xC0010131
#define MSR_EFER     0xC0000080
#define PRESENT_1GIB 0x83 /* present, writable, large */
#define PRESENT      0x03

    .section .multiboot, "a"
    .balign 4
    .long 0x1BADB002, 0x2, -(0x1BADB002 + 0x2) /* asks for the memory map */

    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long start

    .section .text.start, "ax", @progbits
    .code32
    .globl start
start:
    movl $0x50524F42, %ecx /* whoever steps one instruction knows the fetch by this */
    cli
    cld
    movl $stack_end, %esp
    movl %eax, %edi
    movl %ebx, %ebp

    xorl %esi, %esi /* upper half of the C-bit's mask */
    movl $0x80000000, %eax
    cpuid
    cmpl $CPUID_SEV, %eax
    jb 1f
    movl $CPUID_SEV, %eax
    cpuid
    testl $2, %eax
    jz 1f
    andl $63, %ebx
    movl $MSR_SEV, %ecx
    rdmsr
    testl $1, %eax
    jz 1f
    leal -32(%ebx), %ecx
    movl $1, %esi
    shll %cl, %esi
1:
    movl %esi, c_bit + 4
    movl $(pdpt + PRESENT), pml4
    movl %esi, pml4 + 4
    movl $PRESENT_1GIB, pdpt
    movl %esi, pdpt + 4
    movl $(0xC0000000 + PRESENT_1GIB), pdpt + 3 * 8
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
    movl %ebp, %esi
    call probe_main
2:
    hlt
    jmp 2b

    .section .data
    .balign 8
gdt:
    .quad 0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long gdt
    .globl c_bit
    .balign 8
c_bit:
    .quad 0

    .section .bss
    .balign 4096
pml4:
    .skip 4096
pdpt:
    .skip 4096
    .skip 16384
stack_end:

    .section .note.GNU-stack, "", @progbits
