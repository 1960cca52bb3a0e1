package testlog

import (
	"slices"
	"strings"
	"testing"
)

// What test_progs of Linux 6.12 prints has a case for each test and subtest.
func TestTestProgs(t *testing.T) {
	const passed = "Can't find bpf_testmod.ko kernel module: -2\n#1/1     token/map_token:OK\n" +
		"#1/2     token/btf_token:SKIP\n#1       token:OK\n"
	const failed = "userns_map_create:FAIL:map_create unexpected error: -1 (errno 1)\n#2/1     unpriv/positive:FAIL\n" +
		"#2       unpriv:FAIL\n\nAll error logs:\n#2/1     unpriv/positive:FAIL\n"
	for text, want := range map[string][]Case{
		passed + "Summary: 1/1 PASSED, 1 SKIPPED, 0 FAILED\n": {{Name: "token/map_token", Status: Pass, Line: 2},
			{Name: "token/btf_token", Status: Skip, Line: 3}, {Name: "token", Status: Pass, Line: 4}},
		failed + "Summary: 0/0 PASSED, 0 SKIPPED, 1 FAILED\n": {{Name: "unpriv/positive", Status: Fail, Line: 2,
			Reason: "userns_map_create:FAIL:map_create unexpected error: -1 (errno 1)"},
			{Name: "unpriv", Status: Fail, Line: 3}},
		"#1/1     token/map_token:OK\nCaught signal #11!\n": {{Name: "token/map_token", Status: Pass, Line: 1},
			{Name: "test_progs", Status: Broken, Reason: "it ended without its summary"}},
	} {
		log, err := Parse(strings.NewReader(text), Auto)
		if err != nil || log.Format != "test_progs" || !slices.Equal(log.Cases, want) {
			t.Errorf("%s\n%+v, %v\nwant %+v", text, log, err, want)
		}
	}
}
