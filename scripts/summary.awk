# summary.awk: reads CTest's LastTest.log, prints the closing lines of every test program, and counts cases.
#
# usage: awk -v totals=FILE -f summary.awk LastTest.log
# It understands the closing lines of cmocka and "N passed, N failed[, N pending]". It appends
# "passed failed skipped" to the file. Promises: a program that failed without a failed case (a crash, a leak, a
# time-out) counts as one failed case, and so does one of a group of test programs that told no case at all.

function close_test() {
    if (name == "") return
    # cmocka leaves cases whose fixture failed out of its list of failed ones.
    if (ran - passed - skipped > failed) failed = ran - passed - skipped
    if (ended != "Passed" && failed == 0) {
        failed = 1
        note = ended == "" ? "did not run" : "failed outside of its cases, or was cut off"
    } else if (passed + failed + skipped == 0) {
        # Examples have no cases: one that ended well is one. Of test programs cases are expected.
        if (name ~ /^embed\/example-/) { passed = 1; note = "ended well" }
        else { failed = 1; note = "told no test case" }
    }
    sub(/^ +/, "", closing)
    print "  " name ": " closing (closing != "" && note != "" ? "; " : "") note
    sum_passed += passed; sum_failed += failed; sum_skipped += skipped
    name = ""
}
function add(text) { closing = closing (closing == "" ? "" : " ") text }
function number(line) { match(line, /[0-9]+/); return substr(line, RSTART) + 0 }

/^[0-9]+\/[0-9]+ Test: / {
    close_test()
    name = $0; sub(/^[0-9]+\/[0-9]+ Test: /, "", name)
    ran = passed = failed = skipped = 0; closing = note = ended = ""
    next
}
name == "" { next }
/^\[==========\] .*[0-9]+ test\(s\) run\.$/ {
    if (ran) closing = closing "\n   " # each group of a program on a line of its own
    ran += $(NF - 2)
    add($0)
    next
}
/^\[  PASSED  \] [0-9]+ test/ { passed += number($0); add($0); next }
/^\[  SKIPPED \] [0-9]+ test.*listed below/ { skipped += number($0); sub(/, listed below:/, ""); add($0); next }
/^\[  FAILED  \] .*[0-9]+ test.*listed below/ {
    sub(/, listed below:/, "")
    match($0, /[0-9]+ test/)
    failed += substr($0, RSTART) + 0
    add($0)
    next
}
/^[0-9]+ passed, [0-9]+ failed/ { passed += $1; failed += $3; if ($6 ~ /^pending/) skipped += $5; add($0); next }
/^Test (Passed|Failed)\.$/ { ended = $2; sub(/\.$/, "", ended) }
/^Test Fail Reason:/ { ended = "output" }

END {
    close_test()
    print sum_passed + 0, sum_failed + 0, sum_skipped + 0 >>totals
}
