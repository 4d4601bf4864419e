# in_python.py asyncio|uvloop PART [n]: what our benchmarks do, in Python.
#
# PART is switch, spawn, queue, timers, cancel, memory or echo; what each one prints is said in the Lua script of that
# name. Numbers of repetitions are smaller than there: the figures are per operation.
import asyncio
import gc
import sys
import time


def cpu_ns(begin, count):
    return (time.process_time() - begin) * 1e9 / count


async def switch(tasks=1, switches=200_000):
    async def body():
        for _ in range(switches // tasks):
            await asyncio.sleep(0)

    begin = time.process_time()
    await asyncio.gather(*[asyncio.create_task(body()) for _ in range(tasks)])
    print(cpu_ns(begin, switches))


async def spawn(tasks=1000, repeats=50):
    async def body(value):
        return value

    begin = time.process_time()
    for _ in range(repeats):
        made = [asyncio.create_task(body(i)) for i in range(tasks)]
        for i, task in enumerate(made):
            if await task != i:
                sys.exit("a task gave back something else")
    print(cpu_ns(begin, tasks * repeats))


async def queue(size=1, values=100_000):
    between = asyncio.Queue(size)

    async def produce():
        for i in range(values):
            await between.put(i)

    begin = time.process_time()
    producer = asyncio.create_task(produce())
    for i in range(values):
        if await between.get() != i:
            sys.exit("the queue gave back something else")
    await producer
    print(cpu_ns(begin, values))


async def timers(count=100_000):
    late = 0.0

    async def body(seconds):
        nonlocal late
        deadline = time.monotonic() + seconds
        await asyncio.sleep(seconds)
        late += time.monotonic() - deadline

    begin = time.process_time()
    await asyncio.gather(*[asyncio.create_task(body(i * 7919 % count / count)) for i in range(1, count + 1)])
    print((time.process_time() - begin) * 1e3, late / count * 1e3)


async def cancel(count=200_000):
    def never():
        sys.exit("a cancelled timer fired")

    loop = asyncio.get_running_loop()
    begin = time.process_time()
    for i in range(count):
        loop.call_later(60, never).cancel()
        if i % 1000 == 0:
            await asyncio.sleep(0)
    print(cpu_ns(begin, count))


def resident():
    gc.collect()
    with open("/proc/self/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    sys.exit("no VmRSS in /proc/self/status")


async def memory(tasks=100_000):
    before = resident()
    keep = {asyncio.create_task(asyncio.sleep(3600)) for _ in range(tasks)}
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    print((resident() - before) / tasks)
    for task in keep:
        task.cancel()


async def echo():
    async def serve(reader, writer):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print("listening %s:%d" % server.sockets[0].getsockname(), flush=True)
    await server.serve_forever()


def main():
    which, part = sys.argv[1], globals()[sys.argv[2]]
    if which == "uvloop":
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(part(*map(int, sys.argv[3:])))


main()
