/* sim.c: the driver whose world is simulated: virtual time, a network in memory, and every misfortune on demand.
 *
 * Not a mock: programs, the language above and the core cannot tell it from a kernel, and what it does wrong when it is
 * asked to is what kernels do. What it has over a kernel: an hour passes in no time; the same seed gives the same run
 * again; and where nothing can ever happen any more it knows, and says SAROS_EDEADLOCK.
 *
 * It is two kernels in one. As a readiness kernel it tries an op at once, and parks what would block, as reactor.c
 * does. As a completion kernel it takes the op and does the work later, in a wait, in an order of its own; it touches
 * the op's buffer only then, so a buffer that was given back too early is found; and a cancel is a wish, that it hears
 * when it comes to that op.
 *
 * Time. The clock stands still while there is work: every calculation takes no time at all. When there is none, `wait`
 * moves it to the next segment's arrival or to the time-out, whichever is first. So that programs which look instead of
 * waiting get on too, a look that finds nothing takes a microsecond. And nobody who is busy for ever can stop the time
 * for the others: the core reads the clock in every turn, and each reading takes a microsecond after ten thousand
 * without a jump.
 *
 * While somebody outside may still post (saros_held) the clock does not jump: nobody can know how long that will take in
 * this world. The driver sleeps in real time until it is woken; if that does not happen for as long as the jump is wide,
 * it jumps after all. So an answer that is quicker than the next event costs no time here, and a hold that is never
 * released makes the world as slow as the real one, but does not stop it. What comes from outside comes when it likes,
 * and is not replayed by a seed. */
#include "backends/bell.h"
#include "backends/sim_net.h"

/* op->mark while it flies. The core marks a CLOSE with 1 that it has not handed down yet. */
enum { HELD_BACK = 1, CANCELLED, TOO_LATE /* cancelled, but its result is on the way */ };
enum { MICROSECOND = 1000, MILLISECOND = 1000000, PATIENT_READINGS = 10000 };

typedef struct sim_driver {
    saros_net   net; /* first: the rest of the world knows only this */
    saros_bell  bell;
    atomic_bool woken;
    unsigned    readings; /* of the clock, since it has jumped */
    size_t      finished; /* ops, by the wait that runs */
    saros_time  stopped;  /* since when the clock stands still for somebody outside, by the real one; 0: it does not */
} sim_driver;

static saros_time later(saros_time time, saros_time span) {
    return span >= SAROS_FOREVER - time ? SAROS_FOREVER : time + span;
}

static saros_time sim_now(void *driver) {
    sim_driver *self = driver;
    if (saros_watched(self->net.loop)) return self->net.clock;
    if (self->readings < PATIENT_READINGS) self->readings++;
    else self->net.clock = later(self->net.clock, MICROSECOND);
    return self->net.clock;
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

static saros_socket *socket_of(const saros_handle *handle) { return (saros_socket *)handle->word; } /* NOLINT */

static void own(saros_handle *handle, saros_socket *socket) {
    handle->word = (uintptr_t)socket;
    handle->os = (saros_os_handle)socket->id; /* for traces: a number that is the same in every run */
    socket->handle = handle;
}

static void close_handle(sim_driver *self, saros_handle *handle) {
    if (handle->word != 0) saros_net_close(&self->net, socket_of(handle));
    handle->word = 0;
    handle->os = SAROS_NO_HANDLE;
}

/* The first step of what opens a handle. 0: there is a socket now; or an error, and there is none. */
static int begin(sim_driver *self, saros_op *op) {
    saros_socket *made[2] = {NULL, NULL};
    int           error = SAROS_ENOSYS; /* there are no descriptors to be adopted or borrowed */
    op->handle->word = 0;
    if (op->kind == SAROS_OP_LISTEN) error = saros_net_listen(&self->net, made, op->address, op->size);
    if (op->kind == SAROS_OP_DATAGRAM) error = saros_net_datagram(&self->net, made, op->address);
    if (op->kind == SAROS_OP_CONNECT)
        error = saros_net_connect(&self->net, made, op->address, op->size == 1 ? &op->address[1] : NULL);
    if (op->kind == SAROS_OP_PAIR) error = saros_net_pair(&self->net, made);
    if (error < 0) return error;
    own(op->handle, made[0]);
    if (op->kind != SAROS_OP_PAIR) return 0;
    own(op->accepted, made[1]);
    saros_opened(self->net.loop, op->accepted, false);
    return 0;
}

static int open_end(sim_driver *self, saros_op *op) {
    int error = saros_net_connected(socket_of(op->handle)); /* a listener or pair always is */
    if (error == 0) saros_opened(self->net.loop, op->handle, op->kind == SAROS_OP_LISTEN);
    else if (error != SAROS_EAGAIN) close_handle(self, op->handle);
    return error;
}

static int accept_one(sim_driver *self, saros_op *op) {
    saros_socket *accepted;
    int           error = saros_net_accept(&self->net, socket_of(op->handle), &accepted);
    if (error < 0) return error;
    own(op->accepted, accepted);
    saros_opened(self->net.loop, op->accepted, false);
    return 0;
}

/* Piece by piece, until one is taken in part only. */
static int64_t send_pieces(saros_net *net, saros_socket *socket, const saros_op *op) {
    int64_t sent = 0;
    for (size_t i = 0; i < op->size; i++) {
        int64_t more = saros_net_send(net, socket, op->pieces[i].data, op->pieces[i].size);
        if (more < 0 && sent == 0) return more;
        if (more > 0) sent += more;
        if (more < (int64_t)op->pieces[i].size) break;
    }
    return sent;
}

/* Does the op, if it can be done now. */
static int64_t attempt(sim_driver *self, saros_op *op) {
    saros_net    *net = &self->net;
    saros_socket *socket = socket_of(op->handle);
    switch (op->kind) {
    case SAROS_OP_CONNECT:
    case SAROS_OP_LISTEN:
    case SAROS_OP_DATAGRAM:
    case SAROS_OP_PAIR: return open_end(self, op);
    case SAROS_OP_ACCEPT: return accept_one(self, op);
    case SAROS_OP_RECV:
        if (saros_is_lent(op)) return saros_net_readable(socket) ? 0 : SAROS_EAGAIN;
        return saros_net_recv(net, socket, op->buffer, op->size);
    case SAROS_OP_SEND: return saros_net_send(net, socket, op->data, op->size);
    case SAROS_OP_RECVFROM: return saros_net_readable(socket) ? 0 : SAROS_EAGAIN;
    case SAROS_OP_SENDTO: return saros_net_sendto(net, socket, op->datagram, op->size);
    case SAROS_OP_SENDV: return send_pieces(net, socket, op);
    case SAROS_OP_SHUTDOWN: return saros_net_shutdown(net, socket);
    case SAROS_OP_POLL: return saros_net_ready(socket, (unsigned)op->size);
    case SAROS_OP_NAME: return saros_net_name(socket, op->size == 1, op->address);
    case SAROS_OP_OPTION: return saros_net_option(net, socket, op->setting, op->size == 1);
    case SAROS_OP_CLOSE: close_handle(self, op->handle); return 0;
    default: return SAROS_ENOSYS;
    }
}

static void finish(sim_driver *self, saros_op *op, int64_t result) {
    self->finished++;
    saros_complete(self->net.loop, op, result);
}

/* An end before its time: a connect under way leaves nothing behind. */
static void give_up(sim_driver *self, saros_op *op) {
    if (op->kind == SAROS_OP_CONNECT) close_handle(self, op->handle);
    finish(self, op, SAROS_ECANCELED);
}

/* Is it done later? These are there at once with every kernel: the layer above counts on it. */
static bool is_for_later(const sim_driver *self, const saros_op *op) {
    switch (op->kind) {
    case SAROS_OP_LISTEN:
    case SAROS_OP_DATAGRAM:
    case SAROS_OP_PAIR:
    case SAROS_OP_NAME:
    case SAROS_OP_OPTION: return false;
    default:
        return self->net.completion && op->handle->word != 0 &&
               !saros_is_at_once(op); /* nothing is left of a connect that failed */
    }
}

static void sim_submit(void *driver, saros_op *op) {
    sim_driver *self = driver;
    saros_net  *net = &self->net;
    if (saros_net_next(net) <= sim_now(self)) saros_net_deliver(net); /* who never waits sees it too */
    int64_t result = op->kind <= SAROS_OP_PAIR ? begin(self, op) : 0; /* what opens a handle */
    if (is_for_later(self, op)) {
        saros_net_changed(net, socket_of(op->handle));
        result = SAROS_EAGAIN;
    } else if (result == 0) {
        result = attempt(self, op);
    }
    if (result == SAROS_EAGAIN && !saros_is_at_once(op)) saros_trace(net->loop, SAROS_ON_PARK, op, 0);
    else finish(self, op, result);
}

/* Is something for this op about to arrive? */
static bool is_coming(const saros_net *net, const saros_op *op) {
    const saros_socket *socket = socket_of(op->handle);
    if (op->kind != SAROS_OP_RECV && op->kind != SAROS_OP_CONNECT) return false;
    return socket->on_the_way > 0 && socket->latest >= net->clock && socket->latest - net->clock < SAROS_SECOND;
}

static void sim_cancel(void *driver, saros_op *op) {
    sim_driver *self = driver;
    if (op->mark != 0) return; /* heard already */
    bool lost = is_coming(&self->net, op) && saros_world_fault(&self->net, SAROS_FAULT_LOST_CANCEL);
    if (!lost && !self->net.completion) {
        give_up(self, op);
        return;
    }
    op->mark = lost ? TOO_LATE : CANCELLED;
    saros_net_changed(&self->net, socket_of(op->handle));
}

static int64_t sim_take(void *driver, saros_op *op, void *buffer, size_t size) {
    sim_driver *self = driver;
    if (saros_world_fault(&self->net, SAROS_FAULT_SPURIOUS)) return SAROS_EAGAIN;
    saros_socket *socket = socket_of(op->handle);
    if (op->kind == SAROS_OP_RECVFROM) return saros_net_recvfrom(&self->net, socket, op->datagram, buffer, size);
    return saros_net_recv(&self->net, socket, buffer, size);
}

/* ---- what a wait finds ------------------------------------------------------------------------------------------ */

/* Something has happened on this socket: which of its ops can go on? */
static void look_at(sim_driver *self, saros_handle *handle) {
    bool empty = false; /* several accepts wait for one queue */
    for (saros_op *op = handle->first, *next; op != NULL && handle->word != 0; op = next) {
        next = op->next;
        if (op->kind == SAROS_OP_CLOSE && op->mark == HELD_BACK) break;
        int64_t result = empty && op->kind == SAROS_OP_ACCEPT ? SAROS_EAGAIN : attempt(self, op);
        if (op->kind == SAROS_OP_ACCEPT) empty = result == SAROS_EAGAIN;
        if (result != SAROS_EAGAIN) finish(self, op, result);
        else if (op->mark == CANCELLED || (op->mark == TOO_LATE && !is_coming(&self->net, op))) give_up(self, op);
    }
}

/* Looks at what has changed, in the order in which it did; a completion kernel has no such order. What changes meanwhile
 * is left for the next time. */
static void look(sim_driver *self) {
    saros_net *net = &self->net;
    uint32_t   count = net->changes, left = 0;
    bool       shuffled = count > 1 && (net->completion || saros_world_fault(net, SAROS_FAULT_SHUFFLE));
    for (uint32_t i = 0; i < count; i++) {
        if (shuffled) {
            uint32_t      other = i + (uint32_t)saros_world_draw(net, count - 1 - i);
            saros_socket *chosen = net->changed[other];
            net->changed[other] = net->changed[i];
            if (net->changed[other] != NULL) net->changed[other]->changed = other + 1;
            net->changed[i] = chosen;
        }
        saros_socket *socket = net->changed[i];
        if (socket == NULL) continue;
        socket->changed = 0;
        look_at(self, socket->handle);
    }
    for (uint32_t i = count; i < net->changes; i++) {
        net->changed[left++] = net->changed[i];
        if (net->changed[i] != NULL) net->changed[i]->changed = left;
    }
    net->changes = left;
}

static void run(sim_driver *self) {
    if (self->net.clock >= self->net.calm_at) saros_world_calm(&self->net);
    saros_net_deliver(&self->net);
    do look(self);
    while (self->finished == 0 && self->net.changes > 0);
}

/* ---- time ------------------------------------------------------------------------------------------------------- */

static void jump(sim_driver *self, saros_time to, bool timed_out) {
    saros_net *net = &self->net;
    if (timed_out && saros_world_fault(net, SAROS_FAULT_LATE))
        to = later(to, (saros_time)saros_world_draw(net, 50 * MILLISECOND));
    if (saros_world_fault(net, SAROS_FAULT_JUMP))
        to = later(to, SAROS_SECOND + (saros_time)saros_world_draw(net, 59 * (uint64_t)SAROS_SECOND));
    net->clock = to;
    self->stopped = 0;
    self->readings = 0;
}

/* Somebody outside may post: sleeps until the clock has stood still for as long as a jump to `until` is wide. True: that
 * is so, it is time to jump. */
static bool stand_still(sim_driver *self, saros_time until) {
    saros_time span = until == SAROS_FOREVER ? until : until - self->net.clock;
    if (self->stopped == 0) self->stopped = saros_clock();
    saros_time stood = saros_clock() - self->stopped;
    if (stood < span) saros_bell_wait(&self->bell, span == SAROS_FOREVER ? span : span - stood);
    return saros_clock() - self->stopped >= span && !atomic_load(&self->woken);
}

static bool was_woken(sim_driver *self) {
    if (!atomic_exchange(&self->woken, false)) return false;
    saros_bell_wait(&self->bell, 0); /* it has been heard; whoever rings from here on has set `woken` before */
    return true;
}

static int sim_wait(void *driver, saros_time timeout) {
    sim_driver *self = driver;
    saros_net  *net = &self->net;
    saros_time  until = timeout < 0 ? net->clock : later(net->clock, timeout);
    self->finished = 0;
    if (saros_world_fault(net, SAROS_FAULT_EARLY)) return 0;
    run(self);
    while (self->finished == 0 && !was_woken(self)) {
        if (net->clock >= until) {
            if (timeout <= 0) net->clock = later(net->clock, MICROSECOND);
            return 0;
        }
        saros_time next = saros_net_next(net), to = next < until ? next : until;
        bool       held = saros_held(net->loop);
        if (!held) self->stopped = 0;
        if (!held && to == SAROS_FOREVER) return SAROS_EDEADLOCK;
        if (held && !stand_still(self, to)) return 0;
        jump(self, to, next > until);
        run(self);
    }
    return 0;
}

static void sim_wake(void *driver) {
    sim_driver *self = driver;
    atomic_store(&self->woken, true);
    saros_bell_ring(&self->bell);
}

/* ---- beginning and end ------------------------------------------------------------------------------------------ */

static int sim_open(void *driver, saros_loop *loop, const saros_config *config) {
    sim_driver *self = driver;
    self->net.loop = loop;
    int error = saros_world_open(&self->net, config->faults);
    if (error == 0) error = saros_bell_open(&self->bell);
    if (error < 0) saros_world_free(&self->net);
    return error;
}

static void sim_close(void *driver) {
    sim_driver *self = driver;
    saros_net_free(&self->net);
    saros_world_free(&self->net);
    saros_bell_close(&self->bell);
}

const saros_driver saros_sim_driver = {
    .name = "sim",
    .size = sizeof(sim_driver),
    .open = sim_open,
    .close = sim_close,
    .now = sim_now,
    .submit = sim_submit,
    .cancel = sim_cancel,
    .wait = sim_wait,
    .wake = sim_wake,
    .take = sim_take,
};
