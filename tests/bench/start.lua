-- start.lua: the shortest program; the benchmark times how long it takes to start and end.

print("hello")
