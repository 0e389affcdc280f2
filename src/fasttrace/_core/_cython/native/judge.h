/* The rules that judge a whole trace when a local root ends: rare, percentile, baseline. No Python.h.

   Integers only, and nothing depends on the order of a hash table, so that the pure-Python twin decides alike. */
#ifndef FASTTRACE_JUDGE_H
#define FASTTRACE_JUDGE_H

#include "buffer.h"
#include "duration.h"

/* layout.py has the same numbers. */
#define FT_JUDGE_RULES 27
#define FT_JUDGE_ROUTES 1024
#define FT_JUDGE_FIRST 100
#define FT_JUDGE_HALVED_AT 4096

enum { FT_RULE_RARE, FT_RULE_PERCENTILE, FT_RULE_BASELINE };

/* Routes in the order of their first appearance; one more place is shared by those that find no room. */
typedef struct {
    uint32_t used;
    uint32_t route[FT_JUDGE_ROUTES];
    uint16_t slots[2 * FT_JUDGE_ROUTES]; /* 1 + place, or 0 */
} ft_routes;

typedef struct {
    ft_routes routes;
    uint64_t window;
    uint64_t counts[FT_JUDGE_ROUTES + 1];
} ft_rare;

typedef struct {
    ft_routes routes;
    struct {
        uint16_t total;
        uint16_t counts[FT_DURATION_BUCKETS];
    } of[FT_JUDGE_ROUTES + 1];
} ft_durations;

typedef struct {
    int kind;
    uint32_t bits;
    uint64_t amount; /* count, parts per million, or threshold */
    uint64_t window_ns;
    ft_rare *rare;
} ft_rule;

typedef struct {
    ft_rule rules[FT_JUDGE_RULES];
    uint32_t rule_count;
    ft_durations *durations; /* NULL without a percentile rule */
} ft_judge;

/* 0, or -1 without memory. At most FT_JUDGE_RULES. */
static inline int ft_judge_add(ft_judge *judge, int kind, uint32_t bits, uint64_t amount, uint64_t window_ns) {
    ft_rule *rule = &judge->rules[judge->rule_count];
    rule->kind = kind;
    rule->bits = bits;
    rule->amount = amount;
    rule->window_ns = window_ns;
    if (kind == FT_RULE_RARE && (rule->rare = (ft_rare *)calloc(1, sizeof(ft_rare))) == NULL) return -1;
    judge->rule_count++;
    if (kind != FT_RULE_PERCENTILE || judge->durations != NULL) return 0;
    judge->durations = (ft_durations *)calloc(1, sizeof(ft_durations));
    return judge->durations == NULL ? -1 : 0;
}

static inline void ft_judge_free(ft_judge *judge) {
    for (uint32_t i = 0; i < judge->rule_count; i++) free(judge->rules[i].rare);
    free(judge->durations);
}

static inline uint32_t ft_routes_place(ft_routes *routes, uint32_t route) {
    uint32_t at = route * UINT32_C(0x9e3779b1) >> 21, place;
    for (; routes->slots[at]; at = (at + 1) % (2 * FT_JUDGE_ROUTES)) {
        place = routes->slots[at] - 1u;
        if (routes->route[place] == route) return place;
    }
    if (routes->used == FT_JUDGE_ROUTES) return FT_JUDGE_ROUTES;
    routes->route[routes->used] = route;
    routes->slots[at] = (uint16_t)++routes->used;
    return routes->used - 1;
}

static inline int ft_rule_rare(const ft_rule *rule, uint32_t route, uint64_t now_ns) {
    ft_rare *rare = rule->rare;
    uint64_t window = 1 + now_ns / rule->window_ns;
    if (rare->window != window) memset(rare, 0, sizeof(*rare));
    rare->window = window;
    return rare->counts[ft_routes_place(&rare->routes, route)]++ < rule->amount;
}

/* The bits of the rules that keep the trace of this local root, which is an observation in any case. */
static inline uint32_t ft_judge_root(ft_judge *judge, const uint8_t *record, uint64_t now_ns) {
    uint32_t route = ft_read_little_u32(record + 20), place = 0, total = 0, above = 0, bits = 0;
    if (judge->durations != NULL) {
        uint32_t bucket = ft_duration_bucket(ft_read_little_u64(record + 56));
        place = ft_routes_place(&judge->durations->routes, route);
        judge->durations->of[place].counts[bucket]++;
        total = ++judge->durations->of[place].total;
        while (bucket < FT_DURATION_BUCKETS) above += judge->durations->of[place].counts[bucket++];
    }
    for (uint32_t i = 0; i < judge->rule_count; i++) {
        const ft_rule *rule = &judge->rules[i];
        int keep;
        if (rule->kind == FT_RULE_RARE) {
            keep = ft_rule_rare(rule, route, now_ns);
        } else if (rule->kind == FT_RULE_PERCENTILE) {
            keep = total >= FT_JUDGE_FIRST && UINT64_C(1000000) * above <= (1000000 - rule->amount) * total;
        } else {
            keep = (ft_read_big_u64(record + 32) & ((UINT64_C(1) << 56) - 1)) >= rule->amount;
        }
        if (keep) bits |= rule->bits;
    }
    if (total >= FT_JUDGE_HALVED_AT) {
        total = 0;
        for (uint32_t i = 0; i < FT_DURATION_BUCKETS; i++) total += judge->durations->of[place].counts[i] /= 2;
        judge->durations->of[place].total = (uint16_t)total;
    }
    return bits;
}

#endif
