package oracle

import (
	"testing"

	"tokentest/cases/uapi"
)

// texts are what a run stores of rules, by their names in a command.
func texts[R any](rules []rule[R]) map[string][2]string {
	out := map[string][2]string{}
	for _, r := range rules {
		out[r.id] = [2]string{r.text, r.fn}
	}
	return out
}

// A command whose request is spelled out has rules of its own beside those of the bare command. A run stores one
// text and one function for each name.
func TestRuleNameHasOneText(t *testing.T) {
	for cmd, own := range map[uapi.Cmd]map[string][2]string{
		uapi.BPF_LINK_CREATE:         texts(linkRules),
		uapi.BPF_PROG_ATTACH:         texts(attachRules),
		uapi.BPF_PROG_DETACH:         texts(detachRules),
		uapi.BPF_RAW_TRACEPOINT_OPEN: texts(rawTPRules),
		uapi.BPF_LINK_UPDATE:         texts(linkUpdateRules),
		uapi.BPF_LINK_DETACH:         texts(linkDetachRules),
		uapi.BPF_ITER_CREATE:         texts(iterCreateRules),
	} {
		k := commandOf(cmd)
		if k == nil {
			t.Errorf("%s has no rules", cmd)
			continue
		}
		for id, bare := range texts(k.rules) {
			if got, both := own[id]; both && got != bare {
				t.Errorf("%s/%s is %q and %q", cmd, id, got, bare)
			}
		}
	}
}
