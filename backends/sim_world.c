/* sim_world.c: the simulated world around its sockets: which hosts there are, what gets through between them, and what
 * goes wrong.
 *
 * Owns the hosts, the rules for links, and the luck: for each fault how likely it is, and how often it may still happen.
 * Promises: everything that chance decides is drawn from saros_random, and only where there is something to decide; so
 * two runs with one seed draw the same, and a fault that is switched off changes nothing. */
#include <string.h>

#include "backends/sim_net.h"

enum { MILLION = 1000000, MOST_HOSTS = 65534 };
static const saros_time MOST_LATENCY = 3600 * SAROS_SECOND;

/* ---- chance --------------------------------------------------------------------------------------------------- */

static const saros_sim_fault faults[] = {
#define FAULT(name, word, chance, budget, about) {word, chance, budget, about},
    SAROS_FAULTS(FAULT)
#undef FAULT
};

bool saros_sim_profile(size_t index, saros_sim_fault *fault) {
    if (index >= SAROS_FAULT_KINDS) return false;
    *fault = faults[index];
    return true;
}

uint64_t saros_world_draw(saros_net *net, uint64_t most) { return saros_random(net->loop) % (most + 1); }

bool saros_world_fault(saros_net *net, enum saros_fault which) {
    struct saros_sim_luck *luck = &net->luck[which];
    if (luck->chance == 0 || luck->left == 0 || saros_world_draw(net, MILLION - 1) >= luck->chance) return false;
    luck->left--;
    luck->happened++;
    return true;
}

static void switch_on(saros_net *net, int which) {
    net->luck[which].chance = (uint32_t)(faults[which].chance * MILLION + 0.5);
    net->luck[which].left = faults[which].budget;
}

static bool same(const char *word, size_t length, const char *name) {
    return strlen(name) == length && memcmp(word, name, length) == 0;
}

static int fault_named(const char *word, size_t length) {
    for (int i = 0; i < SAROS_FAULT_KINDS; i++)
        if (same(word, length, faults[i].name)) return i;
    return -1;
}

/* Reads "12" or "0.25" in millionths; strtod would ask the locale what a decimal point is. False: it is none. */
static bool read_decimal(const char *text, size_t length, uint64_t *millionths) {
    uint64_t value = 0;
    size_t   digits = 0, behind = 0;
    bool     point = false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '.' && !point) {
            point = true;
            continue;
        }
        if (text[i] < '0' || text[i] > '9' || value >= UINT64_C(1000000000000) || behind == 6) return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
        digits++;
        behind += point;
    }
    for (; behind < 6; behind++) value *= 10;
    *millionths = value;
    return digits > 0;
}

static int refuse(const saros_net *net, const char *word, size_t length, const char *why) {
    saros_reason(net->loop, "fault \"%.*s\": %s", length > 24 ? 24 : (int)length, word, why);
    return SAROS_EINVAL;
}

static int unknown(const saros_net *net, const char *word, size_t length) {
#define WORD(name, text, chance, budget, about) " " text
    saros_reason(net->loop, "no fault \"%.*s\"; known: readiness completion chaos calm" SAROS_FAULTS(WORD),
                 length > 12 ? 12 : (int)length, word);
#undef WORD
    return SAROS_EINVAL;
}

/* What stands behind a fault's "=": CHANCE[:BUDGET]. */
static const char *read_luck(struct saros_sim_luck *luck, const char *text, size_t length) {
    const char *colon = memchr(text, ':', length);
    size_t      first = colon != NULL ? (size_t)(colon - text) : length;
    uint64_t    chance, budget;
    if (!read_decimal(text, first, &chance) || chance == 0 || chance > MILLION)
        return "its chance is a number above 0 and up to 1";
    luck->chance = (uint32_t)chance;
    if (colon == NULL) return NULL;
    if (!read_decimal(colon + 1, length - first - 1, &budget) || budget == 0 || budget % MILLION != 0 ||
        budget / MILLION > UINT32_MAX)
        return "its budget is a whole number above 0";
    luck->left = (uint32_t)(budget / MILLION);
    return NULL;
}

typedef struct reading {
    bool given[SAROS_FAULT_KINDS], kernel, chaos, calm;
} reading;

/* One word of the list. */
static int read_word(saros_net *net, reading *seen, const char *word, size_t length) {
    const char *value = memchr(word, '=', length), *why = NULL;
    size_t      name = value != NULL ? (size_t)(value - word) : length, size = value != NULL ? length - name - 1 : 0;
    int         which = fault_named(word, name);
    bool       *given = which >= 0 ? &seen->given[which] : NULL;
    uint64_t    millionths = 0;
    if (same(word, name, "readiness") || same(word, name, "completion")) given = &seen->kernel;
    else if (same(word, name, "chaos")) given = &seen->chaos;
    else if (same(word, name, "calm")) given = &seen->calm;
    if (given == NULL) return unknown(net, word, length);
    if (*given) return refuse(net, word, length, given == &seen->kernel ? "a kernel is named already" : "given twice");
    *given = true;
    if (which >= 0) {
        switch_on(net, which);
        if (value != NULL) why = read_luck(&net->luck[which], value + 1, size);
    } else if (given == &seen->calm) {
        if (value == NULL || !read_decimal(value + 1, size, &millionths)) why = "expected calm=SECONDS";
        net->calm_at = millionths < SAROS_FOREVER / 1000 ? (saros_time)millionths * 1000 : SAROS_FOREVER;
    } else if (value != NULL) {
        why = "takes no number";
    }
    if (given == &seen->kernel) net->completion = word[0] == 'c';
    return why != NULL ? refuse(net, word, length, why) : 0;
}

static int read_faults(saros_net *net, const char *list) {
    reading seen = {0};
    net->calm_at = SAROS_FOREVER;
    if (list == NULL) return 0;
    for (;;) {
        size_t length = strcspn(list, ",");
        int    error = read_word(net, &seen, list, length);
        if (error < 0) return error;
        if (list[length] == 0) break;
        list += length + 1;
    }
    for (int i = 0; seen.chaos && i < SAROS_FAULT_KINDS; i++)
        if (!seen.given[i] && saros_world_draw(net, 1) == 1) switch_on(net, i);
    return 0;
}

/* ---- hosts ---------------------------------------------------------------------------------------------------- */

static int lower(char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

static bool same_name(const char *a, const char *b) {
    while (*a != 0 && lower(*a) == lower(*b)) a++, b++;
    return lower(*a) == lower(*b);
}

static uint32_t host_named(const saros_net *net, const char *name) {
    if (name == net->hosts[net->here]) return net->here;
    for (uint32_t i = 0; i < net->host_count; i++)
        if (same_name(name, net->hosts[i])) return i;
    return SAROS_SIM_ANY;
}

/* Makes room for one thing more in an array of so many. */
static void *one_more(const saros_net *net, void *array, uint32_t count, size_t unit) {
    return saros_realloc(net->loop, array, count * unit, (count + 1) * unit);
}

static int add_host(saros_net *net, const char *name) {
    size_t length = strlen(name);
    char **hosts, *copy;
    if (length == 0 || length >= SAROS_SIM_NAME) return SAROS_EINVAL;
    for (size_t i = 0; i < length; i++) {
        bool inside = i > 0 && i + 1 < length && (name[i] == '.' || name[i] == '-');
        bool plain = (lower(name[i]) >= 'a' && lower(name[i]) <= 'z') || (name[i] >= '0' && name[i] <= '9');
        if (!plain && !inside) return SAROS_EINVAL;
    }
    if (net->host_count == MOST_HOSTS) return SAROS_ELIMIT;
    if ((copy = saros_realloc(net->loop, NULL, 0, SAROS_SIM_NAME)) == NULL) return SAROS_ENOMEM;
    if ((hosts = one_more(net, net->hosts, net->host_count, sizeof *hosts)) == NULL) {
        saros_realloc(net->loop, copy, SAROS_SIM_NAME, 0);
        return SAROS_ENOMEM;
    }
    memcpy(copy, name, length + 1);
    net->hosts = hosts;
    net->hosts[net->host_count++] = copy;
    return 0;
}

/* Host N is 10.0.X.Y and fd00::X:Y, of N + 1; so localhost is 10.0.0.1 for the others. */
void saros_world_address(uint32_t host, int family, saros_address *address) {
    uint32_t number = host + 1;
    uint8_t *ip = address->at.ip, high = (uint8_t)(number >> 8), low = (uint8_t)number;
    *address = (saros_address){.family = (uint8_t)family};
    if (family == SAROS_INET) ip[0] = 10, ip[2] = high, ip[3] = low;
    else ip[0] = 0xfd, ip[14] = high, ip[15] = low;
}

uint32_t saros_world_whose(const saros_net *net, uint32_t from, const saros_address *address) {
    static const uint8_t zero[16];
    const uint8_t       *ip = address->at.ip;
    saros_address        would;
    if (address->family == SAROS_UNIX) return from;
    size_t size = address->family == SAROS_INET ? 4 : 16;
    if (memcmp(ip, zero, size) == 0) return from;
    if (size == 4 ? ip[0] == 127 : memcmp(ip, zero, 15) == 0 && ip[15] == 1) return from;
    uint32_t host = (uint32_t)(ip[size - 2] << 8 | ip[size - 1]) - 1;
    if (host >= net->host_count) return SAROS_SIM_ANY;
    saros_world_address(host, address->family, &would);
    return memcmp(ip, would.at.ip, size) == 0 ? host : SAROS_SIM_ANY;
}

/* ---- links ---------------------------------------------------------------------------------------------------- */

/* Does the rule (a, b) speak of the way between these two? What it says of all does not go for the way inside a host. */
static bool covers(uint32_t a, uint32_t b, uint32_t from, uint32_t to) {
    if (b != SAROS_SIM_ANY) return (a == from && b == to) || (a == to && b == from);
    return from != to && (a == SAROS_SIM_ANY || a == from || a == to);
}

static const saros_sim_rule *rule_for(const saros_net *net, uint32_t a, uint32_t b, bool latency) {
    for (uint32_t i = net->rule_count; i-- > 0;)
        if (net->rules[i].latency == latency && covers(net->rules[i].a, net->rules[i].b, a, b)) return &net->rules[i];
    return NULL;
}

enum saros_sim_state saros_world_link(const saros_net *net, uint32_t a, uint32_t b) {
    const saros_sim_rule *rule = a != b && net->rule_count > 0 ? rule_for(net, a, b, false) : NULL;
    return rule != NULL ? (enum saros_sim_state)rule->state : SAROS_SIM_UP;
}

saros_time saros_world_latency(saros_net *net, uint32_t a, uint32_t b) {
    const saros_sim_rule *rule = net->rule_count > 0 ? rule_for(net, a, b, true) : NULL;
    saros_time            least = a == b ? 10000 : 200000, most = a == b ? 100000 : 2000000;
    if (rule != NULL) least = rule->least, most = rule->most;
    saros_time span = least + (saros_time)saros_world_draw(net, (uint64_t)(most - least));
    if (saros_world_fault(net, SAROS_FAULT_SLOW)) span += (saros_time)saros_world_draw(net, SAROS_SECOND / 2);
    return span;
}

/* Of two rules the later holds, so what a new one covers is dropped: a link that is cut and healed for ever costs
 * nothing. */
static int add_rule(saros_net *net, const saros_sim_rule *rule) {
    uint32_t        kept = 0;
    saros_sim_rule *rules = one_more(net, net->rules, net->rule_count, sizeof *rules);
    if (rules == NULL) return SAROS_ENOMEM;
    net->rules = rules;
    uint32_t room = net->rule_count + 1;
    for (uint32_t i = 0; i < net->rule_count; i++) {
        const saros_sim_rule *old = &rules[i];
        bool                  narrower = old->b == SAROS_SIM_ANY
                                             ? rule->b == SAROS_SIM_ANY && (rule->a == old->a || rule->a == SAROS_SIM_ANY)
                                             : covers(rule->a, rule->b, old->a, old->b);
        if (old->latency != rule->latency || !narrower) rules[kept++] = *old;
    }
    rules[kept++] = *rule;
    net->rule_count = kept;
    if (kept < room) /* to get smaller never fails */
        net->rules = saros_realloc(net->loop, rules, room * sizeof *rules, kept * sizeof *rules);
    return 0;
}

void saros_world_calm(saros_net *net) {
    net->calm_at = SAROS_FOREVER;
    for (int i = 0; i < SAROS_FAULT_KINDS; i++) net->luck[i].chance = 0;
    uint32_t kept = 0, room = net->rule_count;
    for (uint32_t i = 0; i < room; i++)
        if (net->rules[i].latency) net->rules[kept++] = net->rules[i];
    net->rules = saros_realloc(net->loop, net->rules, room * sizeof *net->rules, kept * sizeof *net->rules);
    net->rule_count = kept;
    for (saros_socket *socket = net->streams; socket != NULL; socket = socket->next) socket->hole = 0;
}

/* ---- from outside --------------------------------------------------------------------------------------------- */

static saros_net *net_of(saros_loop *loop) { return saros_driver_state(loop, &saros_sim_driver); }

int saros_sim_host(saros_loop *loop, const char *name) {
    saros_net *net = net_of(loop);
    if (net == NULL) return SAROS_ENOSYS;
    return host_named(net, name) != SAROS_SIM_ANY ? 0 : add_host(net, name);
}

int saros_sim_lookup(saros_loop *loop, const char *name, saros_address found[2]) {
    const saros_net *net = net_of(loop);
    if (net == NULL) return SAROS_ENOSYS;
    uint32_t host = host_named(net, name);
    if (host == SAROS_SIM_ANY) return SAROS_ENAME;
    saros_world_address(host, SAROS_INET, &found[0]);
    saros_world_address(host, SAROS_INET6, &found[1]);
    if (host > 0) return 2;
    memcpy(found[0].at.ip, "\x7f\0\0\1", 4); /* RFC 6761, 6.3 */
    memset(found[1].at.ip, 0, 16);
    found[1].at.ip[15] = 1;
    return 2;
}

int saros_sim_on(saros_loop *loop, const char *name) {
    saros_net *net = net_of(loop);
    if (net == NULL) return SAROS_ENOSYS;
    uint32_t host = name != NULL ? host_named(net, name) : 0;
    if (host == SAROS_SIM_ANY) return SAROS_ENAME;
    net->here = host;
    return 0;
}

const char *saros_sim_where(saros_loop *loop) {
    const saros_net *net = net_of(loop);
    return net != NULL ? net->hosts[net->here] : NULL;
}

const char *saros_sim_host_at(saros_loop *loop, size_t index) {
    const saros_net *net = net_of(loop);
    return net != NULL && index < net->host_count ? net->hosts[index] : NULL;
}

/* The two ends of a rule. A NULL stands for all others. */
static int read_ends(saros_loop *loop, const char *a, const char *b, saros_sim_rule *rule) {
    const saros_net *net = net_of(loop);
    if (net == NULL) return SAROS_ENOSYS;
    if (a == NULL && b != NULL) return SAROS_EINVAL;
    rule->a = a != NULL ? host_named(net, a) : SAROS_SIM_ANY;
    rule->b = b != NULL ? host_named(net, b) : SAROS_SIM_ANY;
    return (a != NULL && rule->a == SAROS_SIM_ANY) || (b != NULL && rule->b == SAROS_SIM_ANY) ? SAROS_ENAME : 0;
}

int saros_sim_link(saros_loop *loop, const char *a, const char *b, enum saros_sim_state state) {
    saros_sim_rule rule = {.state = (int)state};
    int            error = read_ends(loop, a, b, &rule);
    if (error < 0) return error;
    if ((rule.a == rule.b && a != NULL) || state > SAROS_SIM_REFUSED) return SAROS_EINVAL;
    return add_rule(net_of(loop), &rule);
}

int saros_sim_latency(saros_loop *loop, const char *a, const char *b, saros_time least, saros_time most) {
    saros_sim_rule rule = {.latency = true, .least = least, .most = most};
    int            error = read_ends(loop, a, b, &rule);
    if (error < 0) return error;
    if (least < 0 || most < least || most > MOST_LATENCY) return SAROS_EINVAL;
    return add_rule(net_of(loop), &rule);
}

int saros_sim_calm(saros_loop *loop) {
    if (net_of(loop) == NULL) return SAROS_ENOSYS;
    saros_world_calm(net_of(loop));
    return 0;
}

int64_t saros_sim_happened(saros_loop *loop, const char *name) {
    const saros_net *net = net_of(loop);
    if (net == NULL) return SAROS_ENOSYS;
    int which = fault_named(name, strlen(name));
    return which >= 0 ? net->luck[which].happened : SAROS_EINVAL;
}

int saros_sim_advance(saros_loop *loop, saros_time span) {
    saros_net *net = net_of(loop);
    if (net == NULL) return SAROS_ENOSYS;
    if (span < 0 || span >= SAROS_FOREVER - net->clock) return SAROS_EINVAL;
    net->clock += span;
    return 0;
}

/* ---- beginning and end ---------------------------------------------------------------------------------------- */

int saros_world_open(saros_net *net, const char *list) {
    int error = read_faults(net, list);
    return error < 0 ? error : add_host(net, "localhost");
}

void saros_world_free(saros_net *net) {
    for (uint32_t i = 0; i < net->host_count; i++) saros_realloc(net->loop, net->hosts[i], SAROS_SIM_NAME, 0);
    saros_realloc(net->loop, net->hosts, net->host_count * sizeof *net->hosts, 0);
    saros_realloc(net->loop, net->rules, net->rule_count * sizeof *net->rules, 0);
}
