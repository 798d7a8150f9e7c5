/*
 * A guest that does what Linux does first and says so on its serial port, stage by stage. A host may open /dev/kvm, make VMs and
 * still not run one: nested virtualization often fails only at long mode, at a model-specific register or at an interrupt.
 *
 * QEMU loads it with -kernel by version 1 of Multiboot, whose header says where to. It enters in 32-bit protected mode with
 * paging off, after the firmware has run in real mode. Registers and their numbers: Intel SDM volume 4, AMD APM volume 2.
 */
        .intel_syntax noprefix

        .set    LOAD, 0x100000
        .set    PML4, 0x110000          /* page tables, 4 KiB each */
        .set    PDPT, 0x111000
        .set    PD, 0x112000            /* four, for the first 4 GiB in pages of 2 MiB */
        .set    IDT, 0x116000
        .set    STACK_TOP, 0x120000
        .set    TABLES_END, 0x117000

        .set    CODE64, 0x08
        .set    DATA, 0x10

        .set    COM1, 0x3f8
        .set    LAPIC, 0xfee00000
        .set    TIMER_VECTOR, 0x40

        .set    MULTIBOOT_MAGIC, 0x1badb002
        .set    MULTIBOOT_ADDRESSES, 0x10000

        .text
        .code32
header: .long   MULTIBOOT_MAGIC, MULTIBOOT_ADDRESSES, -(MULTIBOOT_MAGIC + MULTIBOOT_ADDRESSES)
        .long   LOAD, LOAD, 0, 0, entry

        .globl  entry
entry:  cli
        cld
        mov     esp, STACK_TOP
        mov     esi, offset entered
        call    say

        /* An identity map; the last GiB, with the interrupt controllers in it, is not cached. */
        mov     edi, PML4
        mov     ecx, (TABLES_END - PML4) / 4
        xor     eax, eax
        rep stosd
        mov     dword ptr [PML4], PDPT + 3
        mov     edi, PDPT
        mov     eax, PD + 3
1:      mov     [edi], eax
        add     edi, 8
        add     eax, 0x1000
        cmp     eax, PD + 0x4000 + 3
        jne     1b
        mov     edi, PD
        mov     eax, 0x83
2:      cmp     eax, 0xc0000083
        jne     3f
        or      eax, 0x18
3:      mov     [edi], eax
        add     edi, 8
        add     eax, 0x200000
        jnc     2b

        /* Long mode: CR4.PAE, PGE, OSFXSR, OSXMMEXCPT; EFER.SCE, LME, and NXE where there is one; CR0.PG, WP, NE, MP, PE. */
        mov     eax, cr4
        or      eax, 0x6a0
        mov     cr4, eax
        mov     eax, PML4
        mov     cr3, eax
        mov     eax, 0x80000001
        cpuid
        mov     ebx, edx
        mov     ecx, 0xc0000080
        rdmsr
        or      eax, 0x101
        bt      ebx, 20
        jnc     4f
        or      eax, 0x800
4:      wrmsr
        mov     eax, cr0
        and     eax, 0x9fffffff - 4 - 8
        or      eax, 0x80010023
        mov     cr0, eax
        lgdt    [gdt_pointer]
        ljmp    CODE64, offset long_mode

/*
 * Says the text at esi. Means the same in both modes: lodsb takes rsi in long mode.
 */
say:    lodsb
        test    al, al
        jz      3f
        mov     ah, al
        mov     edx, COM1 + 5
1:      in      al, dx
        test    al, 0x20
        jz      1b
        mov     al, ah
        mov     edx, COM1
        out     dx, al
        jmp     say
3:      ret

        .code64
long_mode:
        mov     eax, DATA
        mov     ds, eax
        mov     es, eax
        mov     ss, eax
        mov     rsp, STACK_TOP

        /* Faults stop the guest and are told; the timer's interrupt is taken. */
        mov     edi, IDT
        mov     eax, offset faults
        mov     ecx, 32
1:      call    set_gate
        add     eax, 16
        dec     ecx
        jnz     1b
        mov     edi, IDT + 16 * TIMER_VECTOR
        mov     eax, offset timer
        call    set_gate
        lidt    [idt_pointer]
        mov     esi, offset in_long_mode
        call    say

        /* What Linux reads and writes early, and takes for granted. */
        mov     esi, offset written
2:      lodsd
        mov     ecx, eax
        lodsd
        mov     ebx, eax
        lodsd
        mov     edx, eax
        mov     eax, ebx
        test    ecx, ecx
        jz      3f
        wrmsr
        rdmsr
        jmp     2b
3:      mov     ecx, 0x1b               /* IA32_APIC_BASE */
        rdmsr
        wrmsr
        mov     eax, 1
        cpuid
        bt      edx, 12
        jnc     4f
        mov     ecx, 0xfe               /* IA32_MTRRCAP */
        rdmsr
4:      xor     eax, eax
        cpuid
        cmp     ebx, 0x756e6547         /* Genu(ineIntel) */
        jne     5f
        mov     ecx, 0x1a0              /* IA32_MISC_ENABLE */
        rdmsr
5:      xor     eax, eax
        cpuid
        cmp     eax, 7
        jb      9f
        mov     eax, 7
        xor     ecx, ecx
        cpuid
        mov     r8d, ebx
        mov     r9d, edx
        bt      r8d, 1
        jnc     6f
        mov     ecx, 0x3b               /* IA32_TSC_ADJUST */
        rdmsr
6:      bt      r9d, 26
        jnc     7f
        mov     ecx, 0x48               /* IA32_SPEC_CTRL */
        rdmsr
7:      bt      r9d, 29
        jnc     9f
        mov     ecx, 0x10a              /* IA32_ARCH_CAPABILITIES */
        rdmsr
9:      mov     esi, offset registers
        call    say

        /* The state of the FPU and of vectors, with XSAVE where there is one. */
        fninit
        xorps   xmm0, xmm0
        addps   xmm0, xmm0
        mov     eax, 1
        cpuid
        bt      ecx, 26
        jnc     1f
        mov     rax, cr4
        or      eax, 0x40000
        mov     cr4, rax
        xor     ecx, ecx
        xgetbv
        or      eax, 3
        xsetbv
1:      mov     esi, offset vectors
        call    say

        /* Three interrupts of the local APIC's timer, each while the CPU is halted; none of the firmware's. */
        mov     al, 0xff
        out     0x21, al
        out     0xa1, al
        mov     ebx, LAPIC
        mov     dword ptr [rbx + 0xf0], 0x1ff
        mov     dword ptr [rbx + 0x3e0], 0xb
        mov     dword ptr [rbx + 0x320], TIMER_VECTOR
        xor     r8d, r8d
2:      mov     dword ptr [rbx + 0x380], 100000
3:      sti
        hlt
        cli
        cmp     r8d, 1
        jb      3b
        xor     r8d, r8d
        mov     eax, dword ptr [ticks]
        inc     eax
        mov     dword ptr [ticks], eax
        cmp     eax, 3
        jb      2b
        mov     esi, offset booted
        call    say
halt:   cli
        hlt
        jmp     halt

timer:  inc     r8d
        mov     dword ptr [rbx + 0xb0], 0
        iretq

/* A gate at rdi for the handler at eax; rdi is at the next one then. */
set_gate:
        mov     [rdi], ax
        mov     word ptr [rdi + 2], CODE64
        mov     word ptr [rdi + 4], 0x8e00
        mov     edx, eax
        shr     edx, 16
        mov     [rdi + 6], dx
        mov     qword ptr [rdi + 8], 0
        add     rdi, 16
        ret

        .balign 16
faults:
        .set    vector, 0
        .rept   32
        mov     al, vector
        jmp     fault
        .balign 16
        .set    vector, vector + 1
        .endr

fault:  movzx   eax, al
        mov     ecx, eax
        shr     eax, 4
        mov     al, [digits + rax]
        mov     [fault_number], al
        and     ecx, 15
        mov     al, [digits + rcx]
        mov     [fault_number + 1], al
        mov     esi, offset fault_text
        call    say
        jmp     halt

        .balign 8
gdt:    .quad   0, 0x00209a0000000000, 0x0000920000000000
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt
        .balign 8
idt_pointer:
        .word   16 * (TIMER_VECTOR + 1) - 1
        .quad   IDT

        /* Registers to write, each with the low and the high half of its value. */
        .balign 4
written:
        .long   0x277, 0x00070106, 0x04070506           /* IA32_PAT, as Linux has it */
        .long   0x174, 0, 0                             /* IA32_SYSENTER_CS, ESP, EIP */
        .long   0x175, 0, 0
        .long   0x176, 0, 0
        .long   0xc0000081, 0, 0x00230010               /* STAR, LSTAR, CSTAR, SFMASK */
        .long   0xc0000082, halt, 0
        .long   0xc0000083, halt, 0
        .long   0xc0000084, 0x47700, 0
        .long   0xc0000100, 0, 0                        /* FS_BASE, GS_BASE, KERNEL_GS_BASE */
        .long   0xc0000101, 0, 0
        .long   0xc0000102, 0, 0
        .long   0, 0, 0
ticks:  .long   0

digits: .ascii  "0123456789abcdef"
entered:
        .asciz  "boot-probe: protected mode\n"
in_long_mode:
        .asciz  "boot-probe: long mode\n"
registers:
        .asciz  "boot-probe: registers\n"
vectors:
        .asciz  "boot-probe: vectors\n"
booted: .asciz  "boot-probe: booted\n"
fault_text:
        .ascii  "boot-probe: fault "
fault_number:
        .asciz  "00\n"
