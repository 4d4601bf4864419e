/* sim_way.c: what is on its way in the simulated world: a heap of segments, the next one to arrive first.
 *
 * Owns the heap, and the right of each socket to a few segments that cannot be refused. Nothing is allocated for a segment
 * once there was room for as many. */
#include "backends/sim_net.h"

static bool before(const saros_segment *a, const saros_segment *b) {
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void *saros_net_grow(const saros_net *net, void *array, uint32_t *room, uint32_t need, size_t unit) {
    uint32_t more = *room > 0 ? *room : 32;
    while (more < need) more *= 2;
    if (more == *room) return array;
    void *grown = saros_realloc(net->loop, array, *room * unit, more * unit);
    if (grown != NULL) *room = more;
    return grown;
}

bool saros_net_reserve(saros_net *net, uint32_t more) {
    uint32_t need = net->on_the_way + more + net->count * SAROS_OWN_SEGMENTS;
    void    *segments = saros_net_grow(net, net->segments, &net->segments_room, need, sizeof *net->segments);
    if (segments != NULL) net->segments = segments;
    return segments != NULL;
}

void saros_net_push(saros_net *net, saros_segment segment) {
    uint32_t at = net->on_the_way++;
    segment.to->on_the_way++;
    for (; at > 0 && before(&segment, &net->segments[(at - 1) / 2]); at = (at - 1) / 2)
        net->segments[at] = net->segments[(at - 1) / 2];
    net->segments[at] = segment;
}

saros_segment saros_net_pop(saros_net *net) {
    saros_segment first = net->segments[0], last = net->segments[--net->on_the_way];
    uint32_t      at = 0, child;
    while ((child = 2 * at + 1) < net->on_the_way) {
        if (child + 1 < net->on_the_way && before(&net->segments[child + 1], &net->segments[child])) child++;
        if (!before(&net->segments[child], &last)) break;
        net->segments[at] = net->segments[child];
        at = child;
    }
    net->segments[at] = last;
    first.to->on_the_way--;
    return first;
}

saros_time saros_net_next(const saros_net *net) { return net->on_the_way > 0 ? net->segments[0].at : SAROS_FOREVER; }
