---@meta saros
-- saros.lua: what the module saros offers, for editors: types, parameters and results of every function and method.
--
-- Nothing runs here. The Lua language server reads it where `workspace.library` names its folder. A function that may
-- suspend its task is marked as async. What each one does at length is in docs/api.md; that this file and the module
-- have the same functions is tested. It is over 500 lines: a language server takes one file for one module.

---@class saroslib
---@field _VERSION string the version, as "0.1.0"
---@field fs saros.fslib
---@field signal saros.signallib
---@field stdin saros.stream
---@field stdout saros.stream
---@field stderr saros.stream
---@field process saros.processlib
---@field socket saros.socketlib
---@field ssl saros.ssllib
---@field tls saros.tlslib
local saros = {}

---Anything that can be awaited: a task, a future, or an object whose metatable has `__await`.
---@alias saros.awaitable saros.task|saros.future|table|userdata

---Where to connect or listen: "127.0.0.1:80", "[::1]:80", "localhost:80", "*:80", "unix:/path", or a table.
---@alias saros.address string|{host: string, port: integer}|{path: string}

---As Lua's io: a line without or with its end, a number, all, or so many bytes.
---@alias saros.format "l"|"L"|"n"|"a"|integer

-- ---- tasks ---------------------------------------------------------------------------------------------------------

---A function that runs as a task.
---@class saros.task
local Task = {}

---Runs fn as a task to its end, in a loop of its own; inside a task as a child. Its results.
---@async
---@param fn fun(...): any
---@param ... any
---@return any ...
function saros.run(fn, ...) end

---A new task, which takes its first step when the caller next waits.
---@param fn fun(...): any
---@param ... any
---@return saros.task
function saros.spawn(fn, ...) end

---A new task, which takes its first step inside this call, up to where it first waits.
---@param fn fun(...): any
---@param ... any
---@return saros.task
function saros.spawn_now(fn, ...) end

---The running task's own table; what is not in it is looked up in its spawner's.
---@return table
function saros.locals() end

---The running task; nothing outside of one.
---@return saros.task?
function saros.current_task() end

---All tasks that have not ended, the oldest first.
---@return saros.task[]
function saros.all_tasks() end

---The tasks of the loop as a tree in text: who waits for whom, in what, for how long, and where. At most `most` (1000).
---@param most? integer
---@return string
function saros.dump(most) end

---Waits for a task, a future, a number of seconds, or an object with `__await`. Its results.
---@async
---@param x saros.awaitable|number
---@return any ...
function saros.await(x) end

---Waits for all, functions being spawned; the first result of each, in order. The first error is raised at once.
---@async
---@param ... saros.awaitable|function
---@return any ...
---@overload async fun(list: table, options?: {return_errors?: boolean}): {n: integer, [integer]: any}
function saros.gather(...) end

---Waits for the first that is done: its place and its results, or its error is raised. Losing functions are cancelled.
---@async
---@param ... saros.awaitable|number|function
---@return integer index
---@return any ...
function saros.race(...) end

---Waits for all, the first, or the first error of a list, or so long; cancels nothing. What is done, and what is not.
---@async
---@param list (saros.awaitable|number|function)[]
---@param options? {timeout?: number, return_when?: "all"|"first"|"error"}
---@return (saros.task|saros.future)[] done
---@return (saros.task|saros.future)[] pending
function saros.wait(list, options) end

---Waits for everything that the running task has spawned; raises what has failed, as a group does.
---@async
---@return true
function saros.join() end

---Each of a list as soon as it is done: `for task in saros.as_completed(list) do`.
---@param list (saros.awaitable|number|function)[]
---@param options? {timeout?: number}
---@return async fun(): saros.task|saros.future
function saros.as_completed(list, options) end

---Runs fn with each element of a list, side by side, at most `limit` at once; the first result of each.
---@async
---@param list any[]
---@param fn fun(element: any): any
---@param options? {limit?: integer, return_errors?: boolean}
---@return {n: integer, [integer]: any}
function saros.map(list, fn, options) end

---Waits for the task's end; its results, or raises its error.
---@async
---@return any ...
function Task:await() end

---Asks the task to end: its awaits raise from now on. Whether it was alive.
---@param reason? any
---@return boolean
function Task:cancel(reason) end

---Has it ended?
---@return boolean
function Task:done() end

---Has it ended by its cancellation?
---@return boolean
function Task:cancelled() end

---The results of a task that has ended; raises its error.
---@return any ...
function Task:result() end

---The error of a task that has ended; nothing after a success.
---@return any
function Task:error() end

---Its name.
---@return string
function Task:name() end

---Gives it another name.
---@param name string
---@return saros.task self
function Task:set_name(name) end

---Where it waits, or where its error was raised.
---@return string?
function Task:traceback() end

---Calls fn from the loop after the end.
---@param fn fun(task: saros.task)
---@return true
function Task:add_done_callback(fn) end

---Takes fn away again; how many were removed.
---@param fn fun(task: saros.task)
---@return integer
function Task:remove_done_callback(fn) end

-- ---- futures -------------------------------------------------------------------------------------------------------

---A result that is not there yet.
---@class saros.future
local Future = {}

---A result that is not there yet.
---@return saros.future
function saros.future() end

---Waits until it is settled; its results, or raises its error.
---@async
---@return any ...
function Future:await() end

---Settles it with results, once.
---@param ... any
---@return true
function Future:set_result(...) end

---Settles it with an error, once.
---@param err any
---@return true
function Future:set_error(err) end

---Settles it as cancelled. Whether it was pending.
---@param reason? any
---@return boolean
function Future:cancel(reason) end

---What has become of it.
---@return "pending"|"finished"|"cancelled"
function Future:state() end

---Is it settled?
---@return boolean
function Future:done() end

---Was it cancelled?
---@return boolean
function Future:cancelled() end

---The results of a settled future; raises its error.
---@return any ...
function Future:result() end

---The error of a settled future; nothing after a success.
---@return any
function Future:error() end

---Calls fn from the loop once it is settled.
---@param fn fun(future: saros.future)
---@return true
function Future:add_done_callback(fn) end

---Takes fn away again; how many were removed.
---@param fn fun(future: saros.future)
---@return integer
function Future:remove_done_callback(fn) end

-- ---- time and callbacks --------------------------------------------------------------------------------------------

---A callback that is to come.
---@class saros.call
local Call = {}

---Seconds on the loop's clock, which never goes back.
---@return number
function saros.now() end

---Waits for so many seconds, never less; 0 gives way once.
---@async
---@param seconds number
---@return true
function saros.sleep(seconds) end

---Waits until a time of saros.now.
---@async
---@param time number
---@return true
function saros.sleep_until(time) end

---Iterates over ticks, the n-th n times so many seconds after the call, and gives how late each is. Waits in between.
---@param seconds number above 0
---@param options? {missed?: "skip"|"burst"}
---@return fun(): number
function saros.every(seconds, options) end

---Waits for the host's next step; the seconds since the one before, and its number.
---@async
---@return number dt
---@return integer step
function saros.next_step() end

---A clock of its own, which tasks of a group follow: slower, faster, or moved by hand.
---@class saros.clock
local Clock = {}

---A clock that starts at 0.
---@param options? {scale?: number, manual?: boolean}
---@return saros.clock
function saros.clock(options) end

---What it shows.
---@return number
function Clock:now() end

---How fast it goes; with an argument, from now on.
---@param scale? number
---@return number
function Clock:scale(scale) end

---Lets it rest.
---@return true
function Clock:pause() end

---Lets it go on.
---@return true
function Clock:resume() end

---Moves it as if so many seconds had passed.
---@param seconds number
---@return true
function Clock:advance(seconds) end

---Calls fn from the loop, outside of any task.
---@param fn fun(...)
---@param ... any
---@return saros.call
function saros.call_soon(fn, ...) end

---Calls fn from the loop after so many seconds.
---@param seconds number
---@param fn fun(...)
---@param ... any
---@return saros.call
function saros.call_later(seconds, fn, ...) end

---Calls fn from the loop at a time of saros.now.
---@param time number
---@param fn fun(...)
---@param ... any
---@return saros.call
function saros.call_at(time, fn, ...) end

---Whether it was still to come; it will not.
---@return boolean
function Call:cancel() end

-- ---- cancellation --------------------------------------------------------------------------------------------------

---What can be cancelled as a whole, or has a deadline.
---@class saros.scope
local Scope = {}

---Runs fn in this task for at most so long; its results, or nil, "timed out", "ETIMEDOUT".
---@async
---@param seconds number?
---@param fn fun(...): any
---@param ... any
---@return any ...
---@overload fun(seconds?: number): saros.scope
function saros.timeout(seconds, fn, ...) end

---Runs fn in this task, with cancellation from outside held back until it returns, or until a timeout of its own.
---@async
---@param options {timeout?: number}
---@param fn fun(...): any
---@param ... any
---@return any ...
---@overload async fun(fn: fun(...): any, ...): any
function saros.shield(options, fn, ...) end

---Runs fn(scope, ...) in this task; its results, or nil, reason, "ECANCELED".
---@async
---@param options {timeout?: number, shield?: boolean}
---@param fn fun(scope: saros.scope, ...): any
---@param ... any
---@return any ...
---@overload async fun(fn: fun(scope: saros.scope, ...): any, ...): any
function saros.scope(options, fn, ...) end

---Cancels what is inside, for good. Whether the scope was open.
---@param reason? any
---@return boolean
function Scope:cancel(reason) end

---The deadline as a time of saros.now, or nil; with a time sets it, with false takes it away.
---@param time? number|false
---@return number?
function Scope:deadline(time) end

---Has its deadline passed?
---@return boolean
function Scope:expired() end

---Was it cancelled?
---@return boolean
function Scope:cancelled() end

---What was cancelled (true where that has no name here), if this error is a cancellation, and the reason; else false.
---@param err any
---@return saros.scope|saros.task|saros.group|boolean
---@return any reason
function saros.is_cancelled(err) end

---Lua's pcall, which catches a cancellation too.
---@async
---@param fn function
---@param ... any
---@return boolean
---@return any ...
function saros.pcall(fn, ...) end

-- ---- groups --------------------------------------------------------------------------------------------------------

---Tasks that begin and end together.
---@class saros.group
local Group = {}

---What a group raises when tasks of it have failed.
---@class saros.group_error
---@field message string
---@field errors any[] in the order in which they failed
---@field tracebacks string[]
---@field tasks string[] the tasks' names

---Runs fn(group, ...) and waits for all tasks of the group. Without fn: a group for a `<close>` variable.
---@async
---@param options {limit?: integer, clock?: saros.clock, background?: boolean, name?: string}
---@param fn fun(group: saros.group, ...): any
---@param ... any
---@return any ...
---@overload async fun(fn: fun(group: saros.group, ...): any, ...): any
---@overload fun(options?: {limit?: integer, clock?: saros.clock, background?: boolean, name?: string}): saros.group
function saros.group(options, fn, ...) end

---A new task of the group. With a limit it waits while so many live.
---@async
---@param fn fun(...): any
---@param ... any
---@return saros.task
function Group:spawn(fn, ...) end

---Spawns fn(ready, ...), and waits until that calls ready(...), whose arguments are the results.
---@async
---@param fn fun(ready: fun(...), ...): any
---@param ... any
---@return any ...
function Group:start(fn, ...) end

---Cancels its tasks and its body. Whether it was open.
---@param reason? any
---@return boolean
function Group:cancel(reason) end

-- ---- locks and their like ------------------------------------------------------------------------------------------
---What `acquire` gives: in a `<close>` variable it releases at the end of the block.
---@class saros.guard
local Guard = {}

---Releases; a second time does nothing.
---@return true
function Guard:release() end

---For one task at a time, which is its owner.
---@class saros.lock
local Lock = {}

---For one task at a time, which is its owner.
---@return saros.lock
function saros.lock() end

---Waits until it is free. A guard, which releases when its `<close>` variable ends.
---@async
---@return saros.guard
function Lock:acquire() end

---Acquires without waiting.
---@return saros.guard?
---@return string? message
---@return string? code "EAGAIN"
function Lock:try_acquire() end

---Releases by hand.
---@return true
function Lock:release() end

---Would `acquire` have to wait?
---@return boolean
function Lock:locked() end

---A number of permits, which anybody may give back.
---@class saros.semaphore
local Semaphore = {}

---A number of permits, which anybody may give back.
---@param n? integer
---@return saros.semaphore
function saros.semaphore(n) end

---Waits until it is free. A guard, which releases when its `<close>` variable ends.
---@async
---@return saros.guard
function Semaphore:acquire() end

---Acquires without waiting.
---@return saros.guard?
---@return string? message
---@return string? code "EAGAIN"
function Semaphore:try_acquire() end

---Releases by hand.
---@return true
function Semaphore:release() end

---Would `acquire` have to wait?
---@return boolean
function Semaphore:locked() end

---A semaphore that refuses to have more permits than at its start.
---@param n? integer
---@return saros.semaphore
function saros.bounded_semaphore(n) end

---A number of tokens, at most one for a task, which owns it.
---@class saros.limiter
local Limiter = {}

---A number of tokens, at most one for a task, which owns it.
---@param n number
---@return saros.limiter
function saros.limiter(n) end

---Waits until it is free. A guard, which releases when its `<close>` variable ends.
---@async
---@return saros.guard
function Limiter:acquire() end

---Acquires without waiting.
---@return saros.guard?
---@return string? message
---@return string? code "EAGAIN"
function Limiter:try_acquire() end

---Releases by hand.
---@return true
function Limiter:release() end

---Would `acquire` have to wait?
---@return boolean
function Limiter:locked() end

---How many tokens are taken.
---@return integer
function Limiter:borrowed() end

---How many tokens there are; with a number sets it.
---@param n? number
---@return number
function Limiter:total(n) end

---Something that has happened, or has not.
---@class saros.event
local Event = {}

---Something that has happened, or has not.
---@return saros.event
function saros.event() end

---It has happened: wakes all who wait.
---@return true
function Event:set() end

---It has not happened.
---@return true
function Event:clear() end

---Has it happened?
---@return boolean
function Event:is_set() end

---Waits until it has happened.
---@async
---@return true
function Event:wait() end

---Waiting, with a lock, for something to become so.
---@class saros.condition
local Condition = {}

---Waiting, with a lock, for something to become so.
---@param lock? saros.lock
---@return saros.condition
function saros.condition(lock) end

---Waits until it is free. A guard, which releases when its `<close>` variable ends.
---@async
---@return saros.guard
function Condition:acquire() end

---Acquires without waiting.
---@return saros.guard?
---@return string? message
---@return string? code "EAGAIN"
function Condition:try_acquire() end

---Releases by hand.
---@return true
function Condition:release() end

---Would `acquire` have to wait?
---@return boolean
function Condition:locked() end

---Gives the lock away, waits to be notified, and takes the lock back.
---@async
---@return true
function Condition:wait() end

---Waits until what the function returns is true; that.
---@async
---@param predicate fun(): any
---@return any
function Condition:wait_for(predicate) end

---Wakes the first n who wait, or the first.
---@param n? integer
---@return true
function Condition:notify(n) end

---Wakes all who wait.
---@return true
function Condition:notify_all() end

---A place where n tasks wait for each other.
---@class saros.barrier
local Barrier = {}

---A place where n tasks wait for each other.
---@param n integer
---@return saros.barrier
function saros.barrier(n) end

---Waits until n have come; 1 to n, each another.
---@async
---@return integer?
---@return string? message
---@return string? code "EBROKEN"
function Barrier:wait() end

---Tells those who wait "EBROKEN"; the barrier can be used again.
---@return true
function Barrier:reset() end

---Tells those who wait and those who come "EBROKEN".
---@return true
function Barrier:abort() end

---How many wait.
---@return integer
function Barrier:waiting() end

---Was it aborted?
---@return boolean
function Barrier:broken() end

-- ---- queues --------------------------------------------------------------------------------------------------------

---First in, first out, between tasks.
---@class saros.queue
---@operator len: integer
local Queue = {}

---A queue of at most n items; 0 or nothing: no limit.
---@param n? integer
---@return saros.queue
function saros.queue(n) end

---A queue that gives what was put last.
---@param n? integer
---@return saros.queue
function saros.lifo_queue(n) end

---A queue that gives the smallest, by `<` or by less; of equal ones that which was put first.
---@param n? integer
---@param less? fun(a: any, b: any): boolean
---@return saros.queue
function saros.priority_queue(n, less) end

---Waits for a place.
---@async
---@param value any
---@return true?
---@return string? message
---@return string? code "ESHUTDOWN"
function Queue:put(value) end

---Waits for an item.
---@async
---@return any item
---@return string? message
---@return string? code "ESHUTDOWN"
function Queue:get() end

---Puts without waiting.
---@param value any
---@return true?
---@return string? message
---@return string? code "EAGAIN", "ESHUTDOWN"
function Queue:try_put(value) end

---Gets without waiting.
---@return any item
---@return string? message
---@return string? code "EAGAIN", "ESHUTDOWN"
function Queue:try_get() end

---Gets, in a for loop, until the queue is shut down.
---@return fun(): any
function Queue:items() end

---One item that was got is done with.
---@return true
function Queue:task_done() end

---Waits until all items are done with.
---@async
---@return true
function Queue:join() end

---Puts fail from now on, gets when it is empty; with true what is left is thrown away.
---@param immediate? boolean
---@return true
function Queue:shutdown(immediate) end

---How many items there are.
---@return integer
function Queue:size() end

---Is there no item?
---@return boolean
function Queue:empty() end

---Is there no place?
---@return boolean
function Queue:full() end

-- ---- channels ------------------------------------------------------------------------------------------------------
---The end of a channel into which values go.
---@class saros.sender
local Sender = {}

---The end of a channel from which values come; in a for loop it receives until the end.
---@class saros.receiver
---@overload async fun(): any
local Receiver = {}

---A sender and a receiver, with n places between them; with 0 a value goes from hand to hand.
---@param n number
---@return saros.sender
---@return saros.receiver
function saros.channel(n) end

---Waits for a place, or with 0 places until a receiver has taken it.
---@async
---@param value any
---@return true?
---@return string? message
---@return string? code "EPIPE", "ECLOSED"
function Sender:send(value) end

---Sends without waiting.
---@param value any
---@return true?
---@return string? message
---@return string? code "EAGAIN", "EPIPE", "ECLOSED"
function Sender:try_send(value) end

---One more sender, which counts by itself.
---@return saros.sender
function Sender:clone() end

---Closes this end; when all senders are closed receivers come to the end.
---@return true
function Sender:close() end

---Waits for a value.
---@async
---@return any value
---@return string? message
---@return string? code "EEOF", "ECLOSED"
function Receiver:receive() end

---Receives without waiting.
---@return any value
---@return string? message
---@return string? code "EAGAIN", "EEOF", "ECLOSED"
function Receiver:try_receive() end

---Receives, in a for loop, until the end.
---@return fun(): any
function Receiver:items() end

---One more receiver, which counts by itself.
---@return saros.receiver
function Receiver:clone() end

---Closes this end; when all receivers are closed sends fail.
---@return true
function Receiver:close() end

-- ---- LuaSocket's module --------------------------------------------------------------------------------------------

---What `require "saros.ssl"` gives: LuaSec's module, on sockets of saros.socket.
---@class saros.ssllib
local ssl = {}

---A context, or nil and why not.
---@param cfg table as LuaSec's: mode, protocol, certificate, key, password, cafile, capath, verify, options, ciphers
---@return table? context
---@return string? message
function ssl.newcontext(cfg) end

---A connection over a connected socket, which gives its stream away; then dohandshake, send, receive and so on.
---@param sock table a client of saros.socket
---@param cfg table a context, or what one is made of
---@return table? connection
---@return string? message
function ssl.wrap(sock, cfg) end

---What `require "saros.socket"` gives: LuaSocket's module, whose objects wait in their task.
---@class saros.socketlib
---@field _VERSION string
---@field BLOCKSIZE integer
---@field dns table
---@field sinkt table
---@field sourcet table
local socket = {}

---What connects or listens, by the family of the address; an object of LuaSocket's kind.
---@return table
function socket.tcp() end

---The same for IPv4.
---@return table
function socket.tcp4() end

---The same for IPv6.
---@return table
function socket.tcp6() end

---What sends and receives datagrams, by the family of the address; an object of LuaSocket's kind.
---@return table
function socket.udp() end

---The same for IPv4.
---@return table
function socket.udp4() end

---The same for IPv6.
---@return table
function socket.udp6() end

---Connects.
---@async
---@param address string
---@param port integer|string
---@param local_address? string
---@param local_port? integer|string
---@param family? "unspec"|"inet"|"inet6"
---@return table?
---@return string? message
function socket.connect(address, port, local_address, local_port, family) end

---Connects by IPv4.
---@async
---@param address string
---@param port integer|string
---@param local_address? string
---@param local_port? integer|string
---@return table?
---@return string? message
function socket.connect4(address, port, local_address, local_port) end

---Connects by IPv6.
---@async
---@param address string
---@param port integer|string
---@param local_address? string
---@param local_port? integer|string
---@return table?
---@return string? message
function socket.connect6(address, port, local_address, local_port) end

---Listens at the first of the host's addresses that can be had.
---@async
---@param host string
---@param port integer|string
---@param backlog? integer
---@return table?
---@return string? message
function socket.bind(host, port, backlog) end

---Waits until one of these sockets has something to receive, or takes something to send.
---@async
---@param receivers table[]?
---@param senders table[]?
---@param seconds? number
---@return table readable
---@return table writable
---@return string? message
function socket.select(receivers, senders, seconds) end

---Sleeps.
---@async
---@param seconds number
function socket.sleep(seconds) end

---Seconds since 1970.
---@return number
function socket.gettime() end

---A function like `try` that calls the finalizer before it raises.
---@param finalizer? fun()
---@return fun(...): ...
function socket.newtry(finalizer) end

---Its arguments, or raises the second one for `protect` where the first is false.
---@param ... any
---@return any ...
function socket.try(...) end

---A function like fn that returns nil and the message where `try` has raised.
---@param fn function
---@return function
function socket.protect(fn) end

---All arguments but the first `count` of them.
---@param count integer
---@param ... any
---@return any ...
function socket.skip(count, ...) end

---A function that makes the sink or source of a name in the list.
---@param list table
---@return function
function socket.choose(list) end

---A sink (LTN12) that sends.
---@param mode string
---@param sock table
---@return table
function socket.sink(mode, sock) end

---A source (LTN12) that receives.
---@param mode string
---@param sock table
---@param length? integer
---@return table
function socket.source(mode, sock, length) end

---Puts this module in the place of LuaSocket's for every `require` that follows.
---@return saros.socketlib
function socket.install() end
-- ---- threads -------------------------------------------------------------------------------------------------------

---The end of a channel between threads into which values go.
---@class saros.thread_sender
local ThreadSender = {}

---The end of a channel between threads from which values come; in a for loop it receives until the end.
---@class saros.thread_receiver
---@overload async fun(): any
local ThreadReceiver = {}

---Threads that work through calls.
---@class saros.pool
local Pool = {}

---Runs a function without upvalues, or a script's file, on a thread of its own; the task ends when that has ended.
---@param first function|string|{name?: string, driver?: string} options come before the function
---@param ... any copied: nil, booleans, numbers, strings, tables of these, ends of thread channels
---@return saros.task?
---@return string? message
---@return string? code "ENOSYS"
function saros.thread(first, ...) end

---A sender and a receiver that can be sent to other threads, with n places between them.
---@param n number
---@return saros.thread_sender?
---@return saros.thread_receiver|string
---@return string? code "ENOSYS"
function saros.thread_channel(n) end

---At most so many threads for what blocks or is heavy, begun when they are needed.
---@param size integer
---@param options? {name?: string, driver?: string, idle?: number}
---@return saros.pool?
---@return string? message
---@return string? code "ENOSYS"
function saros.pool(size, options) end

---Waits for a thread that is free, and for the results of the function there.
---@async
---@param fn function|string a script's file
---@param ... any
---@return any ...
function Pool:call(fn, ...) end

---Waits until all calls are done and the threads have ended; takes no more calls.
---@async
---@return true
function Pool:close() end

---Waits for a place, or with 0 places until a receiver has taken it. An end of a channel moves.
---@async
---@param value any
---@return true?
---@return string? message
---@return string? code "EPIPE", "ECLOSED"
function ThreadSender:send(value) end

---Sends without waiting.
---@param value any
---@return true?
---@return string? message
---@return string? code "EAGAIN", "EPIPE", "ECLOSED"
function ThreadSender:try_send(value) end

---One more sender, which counts by itself.
---@return saros.thread_sender
function ThreadSender:clone() end

---Closes this end; when all senders are closed receivers come to the end.
---@return true
function ThreadSender:close() end

---Waits for a value.
---@async
---@return any value
---@return string? message
---@return string? code "EEOF", "ECLOSED"
function ThreadReceiver:receive() end

---Receives without waiting.
---@return any value
---@return string? message
---@return string? code "EAGAIN", "EEOF", "ECLOSED"
function ThreadReceiver:try_receive() end

---Receives, in a for loop, until the end.
---@return fun(): any
function ThreadReceiver:items() end

---One more receiver, which counts by itself.
---@return saros.thread_receiver
function ThreadReceiver:clone() end

---Closes this end; when all receivers are closed sends fail.
---@return true
function ThreadReceiver:close() end

-- ---- the file system -----------------------------------------------------------------------------------------------

---@class saros.fslib
local fs = {}

---@class saros.fs_status
---@field kind "file"|"directory"|"link"|"fifo"|"socket"|"char"|"block"|"unknown"
---@field size integer
---@field mode integer the permissions
---@field user integer
---@field group integer
---@field device integer
---@field inode integer
---@field links integer
---@field accessed number
---@field modified number
---@field changed number
---@field created number

---A watcher: `for what, name in watcher do … end`.
---@class saros.watcher
local Watcher = {}

---What a file is, behind a link.
---@async
---@param path string
---@return saros.fs_status?
---@return string? message
---@return string? code
function fs.stat(path) end

---What a file is, or a link itself.
---@async
---@param path string
---@return saros.fs_status?
---@return string? message
---@return string? code
function fs.lstat(path) end

---Is there something of that name?
---@async
---@param path string
---@return boolean?
---@return string? message
---@return string? code
function fs.exists(path) end

---The names in a folder, in order, and the kind of each.
---@async
---@param folder string
---@return string[]?
---@return table<string, string>|string kinds or the message
---@return string? code
function fs.list(folder) end

---All that is in a folder and its folders.
---@param folder string
---@param options? {depth?: integer, on_error?: fun(path: string, message: string, code: string)}
---@return fun(): string, string
function fs.walk(folder, options) end

---Makes a folder.
---@async
---@param path string
---@param options? {parents?: boolean, mode?: integer}
---@return boolean?
---@return string? message
---@return string? code
function fs.mkdir(path, options) end

---Removes a file, a link or an empty folder; or all that is in it too.
---@async
---@param path string
---@param options? {recursive?: boolean}
---@return boolean?
---@return string? message
---@return string? code
function fs.remove(path, options) end

---Gives it another name; what has that name is replaced.
---@async
---@param from string
---@param to string
---@return boolean?
---@return string? message
---@return string? code
function fs.rename(from, to) end

---Copies a file.
---@async
---@param from string
---@param to string
---@param options? {exclusive?: boolean}
---@return boolean?
---@return string? message
---@return string? code
function fs.copy(from, to, options) end

---Gives a file a second name.
---@async
---@param from string
---@param to string
---@return boolean?
---@return string? message
---@return string? code
function fs.link(from, to) end

---Makes a symbolic link.
---@async
---@param target string
---@param path string
---@return boolean?
---@return string? message
---@return string? code
function fs.symlink(target, path) end

---Where a link leads.
---@async
---@param path string
---@return string?
---@return string? message
---@return string? code
function fs.readlink(path) end

---The path without links and dots.
---@async
---@param path string
---@return string?
---@return string? message
---@return string? code
function fs.realpath(path) end

---Sets the permissions.
---@async
---@param path string
---@param mode integer
---@return boolean?
---@return string? message
---@return string? code
function fs.chmod(path, mode) end

---Sets the times, in seconds.
---@async
---@param path string
---@param accessed number
---@param modified number
---@return boolean?
---@return string? message
---@return string? code
function fs.utime(path, accessed, modified) end

---A new file of nobody else's.
---@async
---@param options? {dir?: string, prefix?: string}
---@return saros.file?
---@return string? message
---@return string? code
function fs.temp_file(options) end

---A new folder of nobody else's.
---@async
---@param options? {dir?: string, prefix?: string}
---@return string?
---@return string? message
---@return string? code
function fs.temp_dir(options) end

---Watches a file, or what is in a folder.
---@async
---@param path string
---@param options? {recursive?: boolean}
---@return saros.watcher?
---@return string? message
---@return string? code
function fs.watch(path, options) end

---Waits for a change: what has happened, and to which entry.
---@async
---@return "rename"|"change"|"overflow"|nil
---@return string? name
---@return string? code
function Watcher:wait() end

---Stops watching, and wakes whoever waits.
---@return true
function Watcher:close() end

-- ---- signals -------------------------------------------------------------------------------------------------------

---@class saros.signallib
local signal = {}

---A source of signals: `for name in source do … end`.
---@class saros.signals
local Signals = {}

---Waits for the first of these signals; its name. On Windows: "SIGINT", "SIGBREAK", "SIGHUP", "SIGTERM".
---@async
---@param ... string "SIGTERM", "SIGINT", …
---@return string?
---@return string? message
---@return string? code
function signal.wait(...) end

---Listens to these signals until the source is closed.
---@param ... string "SIGHUP", …
---@return saros.signals?
---@return string? message
---@return string? code
function signal.open(...) end

---Waits for a signal, or takes one that has come already; its name.
---@async
---@return string?
---@return string? message
---@return string? code
function Signals:wait() end

---Listens no more.
---@return true
function Signals:close() end

-- ---- processes -----------------------------------------------------------------------------------------------------

---What a process is begun with: program and arguments, and these.
---@class saros.process_options
---@field stdin? "inherit"|"null"|"pipe"|file*|saros.stream
---@field stdout? "inherit"|"null"|"pipe"|file*|saros.stream
---@field stderr? "inherit"|"null"|"pipe"|"stdout"|file*|saros.stream
---@field cwd? string its working directory
---@field env? table<string, string|number> its whole environment
---@field [integer] string|number

---@class saros.run_options: saros.process_options
---@field input? string what it reads
---@field timeout? number seconds after which it is killed
---@field limit? integer the most bytes of each output (64 MiB)

---What a process that was run has done.
---@class saros.run_result
---@field ok boolean it has exited with 0
---@field how "exit"|"signal"|"unknown"
---@field code? integer the exit code or the signal's number
---@field stdout? string
---@field stderr? string

---@class saros.processlib
local process = {}

---A child process.
---@class saros.process
---@field pid integer
---@field stdin? saros.stream
---@field stdout? saros.stream
---@field stderr? saros.stream
local Process = {}

---Begins a child process.
---@async
---@param options saros.process_options
---@return saros.process?
---@return string? message
---@return string? code
function process.spawn(options) end

---Runs a child process to its end: feeds it, and takes what it writes.
---@async
---@param options saros.run_options
---@return saros.run_result?
---@return string? message
---@return string? code
function process.run(options) end

---Waits until it has ended: "exit" and the code, or "signal" and the number.
---@async
---@return "exit"|"signal"|nil
---@return integer|string
---@return string? code
function Process:wait() end

---Sends it a signal, SIGTERM without one.
---@param which? string|integer
---@return true?
---@return string? message
---@return string? code
function Process:kill(which) end

---Kills it if it still runs, waits until it has ended, and closes its streams.
---@async
---@return true
function Process:close() end

-- ---- streams -------------------------------------------------------------------------------------------------------

---@class saros.tls_options
---@field host? string the name or address that the server's certificate has to have
---@field insecure? boolean a client verifies nobody
---@field verify? "required"|"optional"|"none" whether the other end has to show a certificate
---@field ca? string|false authorities: a file, a folder, or PEM; false: none. Else the system's
---@field cert? string a certificate and those that lead to its authority: a file or PEM
---@field key? string its key: a file or PEM. Else it is in cert
---@field password? string of the key
---@field alpn? string[] protocols, the best first
---@field min_version? string "1.2" unless it is given
---@field max_version? string
---@field ciphers? string as OpenSSL writes them, up to TLS 1.2
---@field ciphersuites? string as OpenSSL writes them, of TLS 1.3
---@field sni? table<string, saros.tls_context> of a server: contexts for names that clients ask for, "*.a.example" too
---@field timeout? number seconds for the handshake (60)
---@field session? saros.tls_session that a client wants to resume
---@field context? saros.tls_context in place of all that a context is made of
---@field server? boolean of start_tls: this end is the server

---@class saros.tls_certificate
---@field subject string
---@field issuer string
---@field names string[]
---@field not_before integer
---@field not_after integer
---@field serial string
---@field fingerprint string
---@field pem string

---@class saros.tls_info
---@field version string "TLSv1.3" and so on
---@field cipher string
---@field bits integer
---@field server boolean
---@field reused boolean a session was resumed
---@field verdict string "ok", or what is wrong with the other end's certificate
---@field server_name? string the name that the client has asked for
---@field alpn? string the protocol that was agreed on
---@field peer? saros.tls_certificate

---What a TLS connection can be resumed from.
---@class saros.tls_session

---Certificates, authorities and versions, for many connections.
---@class saros.tls_context
local Context = {}

---Reads the files again; options replace those that it was made of. Connections that are open keep what they have.
---@param options? saros.tls_options
---@return true?
---@return string? message
---@return string? code
function Context:reload(options) end

---@class saros.tlslib
local tls = {}

---A context.
---@param options? saros.tls_options
---@return saros.tls_context?
---@return string? message
---@return string? code
function tls.context(options) end

---Begins TLS on a stream, as its client.
---@async
---@param stream saros.stream
---@param options? saros.tls_options|saros.tls_context
---@return saros.stream?
---@return string? message
---@return string? code
function tls.client(stream, options) end

---Begins TLS on a stream, as its server.
---@async
---@param stream saros.stream
---@param options? saros.tls_options|saros.tls_context
---@return saros.stream?
---@return string? message
---@return string? code
function tls.server(stream, options) end

---Begins TLS on a stream; the same as stream:start_tls.
---@async
---@param stream saros.stream
---@param options? saros.tls_options|saros.tls_context
---@return saros.stream?
---@return string? message
---@return string? code
function tls.upgrade(stream, options) end

---Options of streams, listeners and servers.
---@class saros.stream_options
---@field nodelay? boolean small segments go out at once (on)
---@field keepalive? boolean|integer asks a silent peer whether it lives; after so many seconds
---@field keepalive_idle? integer seconds
---@field keepalive_interval? integer seconds
---@field keepalive_count? integer
---@field linger? integer|false seconds that the system goes on sending behind a close
---@field send_buffer? integer bytes
---@field receive_buffer? integer bytes
---@field ttl? integer
---@field bind? saros.address of connect: where it comes from
---@field reuse_port? boolean of listeners: they share a port that all ask for it
---@field v6only? boolean of listeners: the any-address of IPv6 leaves IPv4 out
---@field replace? boolean of listeners: a Unix socket's file at which nobody listens is removed first
---@field clean_up? boolean of listeners: a Unix socket's file goes with its listener (on)
---@field line_limit? integer the longest line, in bytes (64 KiB)
---@field all_limit? integer the most that read("a") takes, in bytes (64 MiB)
---@field backlog? integer connections that wait to be accepted
---@field limit? integer of a server: the most connections at a time
---@field tls? boolean|saros.tls_options|saros.tls_context of connect and serve: TLS on each connection

---A connection.
---@class saros.stream
local Stream = {}

---A socket for datagrams.
---@class saros.udp
local Udp = {}

---@class saros.udp_options
---@field broadcast? boolean it may send to all at once
---@field reuse? boolean several sockets that ask for it have one port
---@field reuse_port? boolean the same, and each datagram is for one of them
---@field ttl? integer hops, 1 to 255
---@field multicast_ttl? integer hops of what goes to groups, 0 to 255
---@field multicast_loop? boolean what it sends to groups comes back to this machine too
---@field multicast_interface? string|integer where that goes out: an IPv4 address, for IPv6 a name or number
---@field send_buffer? integer bytes
---@field receive_buffer? integer bytes

---What accepts connections.
---@class saros.listener
local Listener = {}

---A listener with a task for each connection.
---@class saros.server
local Server = {}

---A file.
---@class saros.file
local File = {}

---Opens a file, with the modes of io.open.
---@async
---@param path string
---@param mode? "r"|"w"|"a"|"r+"|"w+"|"a+"|"rb"|"wb"|"ab"|"r+b"|"w+b"|"a+b"
---@return saros.file?
---@return string? message
---@return string? code
function saros.open(path, mode) end

---As a file of Lua's io reads.
---@async
---@param ... string|integer formats: "l" (none), "L", "n", "a", or so many bytes
---@return string|number|nil
---@return string? message
---@return string? code
function File:read(...) end

---What there is, up to n bytes; nil at the end.
---@async
---@param n? integer
---@return string?
---@return string? message
---@return string? code
function File:read_some(n) end

---Exactly n bytes, or nil, message, "EEOF" and the part that there is.
---@async
---@param n integer
---@return string?
---@return string? message
---@return string? code
---@return string? partial
function File:read_exactly(n) end

---Up to the delimiter, and with it.
---@async
---@param delimiter string
---@param limit? integer
---@return string?
---@return string? message
---@return string? code
function File:read_until(delimiter, limit) end

---Reads with these formats until the end; raises anything else.
---@param ... string|integer
---@return fun(): string|number|nil
function File:lines(...) end

---Returns when the system has taken all.
---@async
---@param ... string|number
---@return saros.file?
---@return string? message
---@return string? code
---@return integer? bytes_written
function File:write(...) end

---Moves the place that is read or written next.
---@async
---@param whence? "set"|"cur"|"end"
---@param offset? integer
---@return integer? position
---@return string? message
---@return string? code
function File:seek(whence, offset) end

---How much of what is written may be kept back.
---@async
---@param mode "no"|"full"|"line"
---@param size? integer
---@return boolean?
---@return string? message
---@return string? code
function File:setvbuf(mode, size) end

---Writes what is kept back.
---@async
---@return saros.file?
---@return string? message
---@return string? code
function File:flush() end

---Writes what is kept back, and has the system put all of it on its disk.
---@async
---@return saros.file?
---@return string? message
---@return string? code
function File:sync() end

---Closes the file; what was kept back is written first.
---@async
---@return boolean?
---@return string? message
---@return string? code
function File:close() end

---Looks up the addresses of a host, in the system's order: each {host =, port =, family = "inet" or "inet6"}.
---@async
---@param host string
---@param service? integer|string a port, or the name of a service
---@param options? {family?: "inet"|"inet6"}
---@return table[]?
---@return string? message
---@return string? code
function saros.resolve(host, service, options) end

---Connects.
---@async
---@param address saros.address
---@param options? saros.stream_options
---@return saros.stream?
---@return string? message
---@return string? code
function saros.connect(address, options) end

---Listens.
---@param address saros.address
---@param options? saros.stream_options
---@return saros.listener?
---@return string? message
---@return string? code
function saros.listen(address, options) end

---Two streams that are connected with each other.
---@param options? saros.stream_options
---@return saros.stream?
---@return saros.stream|string other or the message
---@return string? code
function saros.pair(options) end

---A stream or listener that owns a descriptor of the system from now on: a stream socket, an end of a pipe, a terminal.
---@param fd integer
---@param options? saros.stream_options
---@return saros.stream|saros.listener|nil
---@return string? message
---@return string? code
function saros.adopt(fd, options) end

---Waits until a read or an accept would not wait, also because of an end or an error.
---@async
---@param fd integer|file*|table|userdata|saros.stream|saros.listener
---@return boolean?
---@return string? message
---@return string? code
function saros.wait_readable(fd) end

---Waits until a write would not wait, also because of an end or an error.
---@async
---@param fd integer|file*|table|userdata|saros.stream|saros.listener
---@return boolean?
---@return string? message
---@return string? code
function saros.wait_writable(fd) end

---Calls fn(…) whenever the descriptor is readable, in place of the one before.
---@param fd integer|file*|table|userdata
---@param fn function
---@param ... any
---@return boolean?
---@return string? message
---@return string? code
function saros.add_reader(fd, fn, ...) end

---Does not call it any more.
---@param fd integer|file*|table|userdata
---@return boolean # was there one?
function saros.remove_reader(fd) end

---Calls fn(…) whenever the descriptor is writable, in place of the one before.
---@param fd integer|file*|table|userdata
---@param fn function
---@param ... any
---@return boolean?
---@return string? message
---@return string? code
function saros.add_writer(fd, fn, ...) end

---Does not call it any more.
---@param fd integer|file*|table|userdata
---@return boolean # was there one?
function saros.remove_writer(fd) end

---Runs fn(stream, peer) in a task for each connection, and closes the stream when fn ends.
---@param address saros.address
---@param fn fun(stream: saros.stream, peer: string)
---@param options? saros.stream_options
---@return saros.server?
---@return string? message
---@return string? code
function saros.serve(address, fn, options) end

---An option of the socket, which is that of what it accepts; with a value sets it.
---@param name string
---@param value? boolean|integer
---@return boolean|integer|saros.listener|nil
---@return string? message
---@return string? code
function Listener:option(name, value) end

---Waits for a connection.
---@async
---@return saros.stream?
---@return string? message
---@return string? code
function Listener:accept() end

---A socket for datagrams; without an address it is for both families, at any port.
---@param address? saros.address
---@param options? saros.udp_options
---@return saros.udp?
---@return string? message
---@return string? code
function saros.udp(address, options) end

---Sends one datagram, whole or not at all; without an address to the peer.
---@async
---@param data string
---@param address? saros.address
---@return saros.udp?
---@return string? message
---@return string? code
function Udp:send(data, address) end

---The next datagram, whose it is, and whether it was longer than size. Or nil, message, code.
---@async
---@param size? integer 1 to 65535
---@return string?
---@return string from
---@return boolean|string truncated
function Udp:receive(size) end

---Datagrams until the socket is closed; anything else is raised.
---@async
---@return fun(): string?, string, boolean
function Udp:datagrams() end

---Has to do with this peer alone from now on; without an address with everybody again.
---@async
---@param address? saros.address
---@return saros.udp?
---@return string? message
---@return string? code
function Udp:connect(address) end

---Receives what is sent to this group.
---@param group string an IPv4 or IPv6 address
---@param interface? string|integer its IPv4 address; for IPv6 its name or number
---@return saros.udp?
---@return string? message
---@return string? code
function Udp:join_group(group, interface) end

---Receives it no more.
---@param group string
---@param interface? string|integer
---@return saros.udp?
---@return string? message
---@return string? code
function Udp:leave_group(group, interface) end

---Its own address, as text.
---@return string?
---@return string? message
---@return string? code
function Udp:local_address() end

---Its peer's.
---@return string?
---@return string? message
---@return string? code
function Udp:peer_address() end

---Closes it; who waits on it is told "ECLOSED".
---@return true
function Udp:close() end

---Where it listens, as text.
---@return string?
---@return string? message
---@return string? code
function Listener:address() end

---Stops listening; who waits in accept is told "ECLOSED".
---@return true
function Listener:close() end

---Where it listens, as text.
---@return string?
---@return string? message
---@return string? code
function Server:address() end

---Stops accepting; the handlers go on.
---@return true
function Server:close() end

---Waits until it is closed and the last handler has ended.
---@async
---@return true
function Server:wait() end

---Closes, waits so long for the handlers, then cancels them and waits.
---@async
---@param seconds number
---@return true
function Server:shutdown(seconds) end

---Reads, as Lua's io; at the end nil alone.
---@async
---@param ... saros.format
---@return string|number|nil ...
function Stream:read(...) end

---Reads 1 to n bytes, what there is, or as many as a buffer has room for: then their number; at the end nil alone.
---@async
---@param n? integer|saros.buffer
---@return string|integer|nil
---@return string? message
---@return string? code
function Stream:read_some(n) end

---Reads n bytes.
---@async
---@param n integer
---@return string?
---@return string? message
---@return string? code "EEOF"
---@return string? partial
function Stream:read_exactly(n) end

---Reads up to the delimiter, and with it.
---@async
---@param delimiter string
---@param limit? integer
---@return string?
---@return string? message
---@return string? code "EEOF", "ELIMIT"
function Stream:read_until(delimiter, limit) end

---Reads, in a for loop, until the end; raises anything else.
---@param ... saros.format
---@return fun(): string|number|nil, ...
function Stream:lines(...) end

---Writes, and waits until the kernel has taken all.
---@async
---@param ... string|number|saros.buffer|(string|number|saros.buffer)[]
---@return saros.stream? self
---@return string? message
---@return string? code
---@return integer? bytes_sent
function Stream:write(...) end

---Writes without waiting: all of it, to the kernel or kept for it; or nothing, and then the code is "EAGAIN".
---@param ... string|number|saros.buffer|(string|number|saros.buffer)[]
---@return saros.stream? self
---@return string? message
---@return string? code
function Stream:try_write(...) end

---Keeps what is written until so much of it is there, or a line has ended.
---@param mode "no"|"full"|"line"
---@param size? integer bytes (64 KiB)
---@return saros.stream? self
---@return string? message
---@return string? code
function Stream:setvbuf(mode, size) end

---Sends a file, or a part of it; without an offset from the file's position, which goes along.
---@async
---@param file saros.file|string one of saros.open, or a name
---@param offset? integer bytes
---@param count? integer bytes at most
---@return integer? bytes
---@return string? message
---@return string? code
---@return integer? bytes_sent
function Stream:sendfile(file, offset, count) end

---Says that no more will be sent, when its turn has come.
---@async
---@return saros.stream? self
---@return string? message
---@return string? code
function Stream:shutdown() end

---Waits until what setvbuf and try_write have kept is sent.
---@async
---@return saros.stream? self
---@return string? message
---@return string? code
function Stream:flush() end

---Closes, once what was kept is sent; who waits on the stream is told "ECLOSED".
---@async
---@return true?
---@return string? message
---@return string? code
function Stream:close() end

---Closes, drops what was not sent, and lets the peer see a reset.
---@return true
function Stream:abort() end

---An option of the socket; with a value sets it.
---@param name string
---@param value? boolean|integer
---@return boolean|integer|saros.stream|nil
---@return string? message
---@return string? code
function Stream:option(name, value) end

---The address of this end.
---@return string?
---@return string? message
---@return string? code
function Stream:local_address() end

---The address of the other end.
---@return string?
---@return string? message
---@return string? code
function Stream:peer_address() end

---Begins TLS. The stream is the same afterwards; one with which that fails is closed.
---@async
---@param options? saros.tls_options|saros.tls_context
---@return saros.stream?
---@return string? message
---@return string? code
function Stream:start_tls(options) end

---What is known of its TLS; nil where it has none.
---@return saros.tls_info?
---@return string? message
---@return string? code
function Stream:tls_info() end

---What a later connection to the same server can resume; nil where it has no TLS.
---@return saros.tls_session?
---@return string? message
---@return string? code
function Stream:tls_session() end

---Copies until `from` ends, or n bytes; neither is closed.
---@async
---@param from saros.stream|table|userdata
---@param to saros.stream|table|userdata
---@param n? integer
---@return integer? bytes
---@return string? message
---@return string? code
---@return integer? copied
function saros.copy(from, to, n) end

---Bytes in one place, for reading and writing without garbage.
---@class saros.buffer
---@operator len: integer
local Buffer = {}

---Room for n bytes, and none in it.
---@param n integer
---@return saros.buffer
function saros.buffer(n) end

---How many bytes fit.
---@return integer
function Buffer:capacity() end

---As string.sub.
---@param i? integer
---@param j? integer
---@return string
function Buffer:sub(i, j) end

---Puts the text in place of what was there.
---@param text string
---@return saros.buffer self
function Buffer:set(text) end

-- ---- errors --------------------------------------------------------------------------------------------------------

---What saros.try raises.
---@class saros.error
---@field message string
---@field code string
---@field op? string
---@field address? string

---Its arguments; where the first is false raises them as an error object.
---@generic T
---@param v T?
---@param ... any
---@return T v
---@return any ...
function saros.try(v, ...) end

---A function like fn that turns what saros.try raised back into nil, message, code.
---@generic F: function
---@param fn F
---@return F
function saros.protect(fn) end

---The code of an error object; nothing for other values.
---@param err any
---@return string?
function saros.error_code(err) end

-- ---- loops ---------------------------------------------------------------------------------------------------------

---What a loop is opened with.
---@class saros.loop_options
---@field driver? string its name, or several to try
---@field report_after? number seconds until an error without anybody who awaits it is told (5)
---@field seed? integer|string of a simulated world
---@field faults? string of a simulated world
---@field debug? boolean tells of slow steps and of what nobody closed
---@field slice? number|false seconds after which a script has to give way
---@field shuffle? integer|string|false the seed of another order of what is ready

---A loop of one's own.
---@class saros.loop
local Loop = {}

---Opens a loop; raises with the reason where it does not open.
---@param options? saros.loop_options
---@return saros.loop
function saros.loop(options) end

---The loop that runs; nothing where none does.
---@return saros.loop?
function saros.current_loop() end

---The drivers, each of which is tried.
---@return {name: string, compiled: boolean, opens: boolean, reason?: string, about: string, default?: boolean}[]
function saros.drivers() end

---Makes pcall, xpcall, coroutine and require of this state know of tasks.
function saros.install() end

---Runs main as a task to its end; its results. Without main as run_forever.
---@param main? fun(...): any
---@param ... any
---@return any ...
function Loop:run(main, ...) end

---Runs main as a task to its end; its results.
---@param main fun(...): any
---@param ... any
---@return any ...
function Loop:run_until_complete(main, ...) end

---Runs until stop, or until nothing is left.
function Loop:run_forever() end

---One step, which blocks at most so long.
---@param seconds? number
---@return "waiting"|"more"|"done"
function Loop:step(seconds) end

---A new task of this loop.
---@param fn fun(...): any
---@param ... any
---@return saros.task
function Loop:spawn(fn, ...) end

---Calls fn from this loop.
---@param fn fun(...)
---@param ... any
---@return saros.call
function Loop:call_soon(fn, ...) end

---Seconds on this loop's clock.
---@return number
function Loop:now() end

---Ends run_forever after the batch that runs.
function Loop:stop() end

---Does it run?
---@return boolean
function Loop:is_running() end

---The name of its driver.
---@return string
function Loop:driver() end

---Sets what is called for the error of a callback, and of a task that nobody awaited; nil: it is reported.
---@param fn? fun(context: {message: string, error: any, traceback?: string, task?: saros.task})
---@return true
function Loop:set_exception_handler(fn) end

---The function that was set; nil where none was.
---@return function?
function Loop:get_exception_handler() end

---Calls the handler that was set, or the default.
---@param context {message: string, error: any, traceback?: string, task?: saros.task}
---@return true
function Loop:call_exception_handler(context) end

---Reports the error, as a loop without a handler does.
---@param context {message: string, error: any, traceback?: string, task?: saros.task}
---@return true
function Loop:default_exception_handler(context) end

---Cancels and awaits what is left, and closes.
---@return true
function Loop:close() end

-- ---- coroutines ----------------------------------------------------------------------------------------------------

---Lua's coroutine library, whose coroutines may await inside tasks. saros.install() puts it over Lua's own.
---@class saros.coroutinelib: coroutinelib
local coroutines = {}
saros.coroutine = coroutines

---Raises err in the coroutine (or what wrap has made) where it yielded; returns as resume does.
---@async
---@param co thread|function
---@param err any
---@return boolean ok, any ...
function coroutines.throw(co, err) end

-- ---- the simulated world -------------------------------------------------------------------------------------------

---The world of the driver sim, which a script can change while it runs.
---@class saros.simlib
local sim = {}
saros.sim = sim

---Adds a host.
---@param name string
---@return string ipv4
---@return string ipv6
function sim.host(name) end

---The names of the hosts.
---@return string[]
function sim.hosts() end

---Calls fn on that host.
---@async
---@param name string
---@param fn fun(...): any
---@param ... any
---@return any ...
function sim.on(name, fn, ...) end

---Nothing gets through between a and b, and nobody is told.
---@param a? string
---@param b? string
---@return true
function sim.cut(a, b) end

---Nothing gets through, and whoever tries is told.
---@param a? string
---@param b? string
---@return true
function sim.refuse(a, b) end

---Everything gets through again.
---@param a? string
---@param b? string
---@return true
function sim.heal(a, b) end

---How many seconds a segment is on its way.
---@param a string
---@param b string
---@param least number
---@param most? number
---@return true
function sim.latency(a, b, least, most) end

---Seconds since the world began.
---@return number
function sim.now() end

---The clock goes on, as in a long calculation.
---@param seconds number
---@return true
function sim.advance(seconds) end

---The seed of the world.
---@return integer
function sim.seed() end

---As math.random, but drawn from what decides everything else in the world.
---@param m? integer
---@param n? integer
---@return number
function sim.random(m, n) end

---What can go wrong, or one of it; how often it has.
---@param name? string
---@return {name: string, chance: number, budget: integer, about: string, happened: integer}[]
function sim.faults(name) end

---Heals all links, and lets nothing go wrong any more.
---@return true
function sim.calm() end

---What the program saros does at its start, for a Lua of its own.
---@return true
function sim.install() end

return saros
