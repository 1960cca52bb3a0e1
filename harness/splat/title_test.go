package splat

import (
	"strings"
	"testing"
)

const warning = `[  %s] WARNING: CPU: %s at kernel/bpf/token.c:12 bpf_token_create+0x%s/0x200
[  1.000001] RIP: 0010:bpf_token_create+0x10/0x20
[  1.000002] Call Trace:
[  1.000003]  <TASK>
[  1.000004]  ? show_regs+0x1/0x2
[  1.000004]  ? a_guess+0x1/0x2
[  1.000005]  __warn+0x1/0x2
[  1.000006]  %s.isra.0+0x%s/0x90
[  1.000007]  __sys_bpf+0x10/0x20
[  1.000008]  </TASK>
[  1.000009] ---[ end trace 0000000000000000 ]---
`

func warningOf(words ...string) Finding {
	log := warning
	for _, w := range words {
		log = strings.Replace(log, "%s", w, 1)
	}
	return Scan([]byte(log)).Findings[0]
}

// TestFingerprint: the fingerprint depends on the fault and the call path to it, not
// on the time, the CPU and addresses.
func TestFingerprint(t *testing.T) {
	one := warningOf("1.000000", "0 PID: 88", "10", "caller", "1a")
	same := warningOf("77.123456", "3 PID: 4711", "1f0", "caller", "77")
	other := warningOf("1.000000", "0 PID: 88", "10", "stranger", "1a")
	if one.Fingerprint != same.Fingerprint {
		t.Errorf("got %s and %s for the same fault", one.Fingerprint, same.Fingerprint)
	}
	if one.Fingerprint == other.Fingerprint || len(one.Fingerprint) != 12 {
		t.Errorf("got %s and %s for different paths to a fault", one.Fingerprint, other.Fingerprint)
	}
	if got := frames(one.Kind, one.Lines, printFrames); strings.Join(got, " ") != "caller __sys_bpf" {
		t.Errorf("got frames %q", got)
	}
}
