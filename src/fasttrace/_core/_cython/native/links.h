/* A doubly linked list through the objects themselves: joining and leaving it allocates nothing. No Python.h.

   A list is a link that belongs to no object; an empty one is linked to itself. */
#ifndef FASTTRACE_LINKS_H
#define FASTTRACE_LINKS_H

/* A head and the link in an object are one type, but GCC 12 at -O3 takes the two for strangers and does not see that
   removing the first object changes the head: a loop that empties a list never ends (store_harness.c). */
#if defined(__GNUC__)
#define FT_MAY_ALIAS __attribute__((may_alias))
#else
#define FT_MAY_ALIAS
#endif

typedef struct FT_MAY_ALIAS ft_link {
    struct ft_link *previous;
    struct ft_link *next;
} ft_link;

static inline void ft_links_init(ft_link *list) { list->previous = list->next = list; }

static inline void ft_links_append(ft_link *list, ft_link *link) {
    link->previous = list->previous;
    link->next = list;
    list->previous->next = link;
    list->previous = link;
}

static inline void ft_links_remove(ft_link *link) {
    link->previous->next = link->next;
    link->next->previous = link->previous;
}

#endif
