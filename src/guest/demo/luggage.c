/* The demonstration everyone knows: a program with a secret in its memory. It runs as /init of an
 * initramfs that holds nothing else: reads /secret, says it, and stays.
 *
 * Freestanding: system calls alone, so that every byte of the secret's path is on this page. The
 * buffers are ordinary private memory of the guest; the serial port takes the characters one by one
 * out of a register, so the sentence never stands in memory that the host shares.
 */
typedef unsigned long word;

enum { SYS_READ = 0, SYS_WRITE = 1, SYS_OPEN = 2, SYS_PAUSE = 34 };

static word call(word number, word a, word b, word c)
{
    word result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
}

static char sentence[256] = "My luggage password is ";

static word length(const char *s)
{
    word n = 0;

    while (s[n])
        n++;
    return n;
}

void _start(void);
void _start(void)
{
    word fd = call(SYS_OPEN, (word) "/secret", 0, 0), said = length(sentence), n;

    n = call(SYS_READ, fd, (word)sentence + said, sizeof(sentence) - said - 1);
    if ((long)n < 0)
        n = 0;
    sentence[said + n] = '\n';
    call(SYS_WRITE, 1, (word)sentence, said + n + 1);
    for (;;)
        call(SYS_PAUSE, 0, 0, 0);
}
