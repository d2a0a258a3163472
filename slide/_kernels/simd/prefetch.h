/* Requests for the cache line at p, which comes while the caller goes on: to be read or to be written, into the
 * first-level cache or, `_l2`, into the second-level one. p need not be a valid address. */
#ifndef SLIDE_PREFETCH_H
#define SLIDE_PREFETCH_H

static inline void slide_prefetch_read(const void *p)
{
    __builtin_prefetch(p, 0, 3);
}

static inline void slide_prefetch_write(const void *p)
{
    __builtin_prefetch(p, 1, 3);
}

static inline void slide_prefetch_read_l2(const void *p)
{
    __builtin_prefetch(p, 0, 2);
}

static inline void slide_prefetch_write_l2(const void *p)
{
    __builtin_prefetch(p, 1, 2);
}

/* To GCC a prefetch is no effect: it drops the calls of a function that does nothing else. This statement, which is no
 * instruction, is one. Loops that compute need it not, and are not kept from being rearranged by it. */
static inline void slide_has_effect(void)
{
    __asm__ volatile("");
}

#endif
