package cases

import (
	"strings"
	"testing"
)

const inputHead = "needs token\nactor owner userns uid=1000\nactor kid child owner\n" +
	"owner bpffs cmds=any maps=any -> b\nowner token_create bpffs=b -> t\ncontrol owner  map_create type=hash token=t\n" +
	"control nobody map_create type=hash => EPERM\n"

// What users wrote that cannot be is refused with what they can write instead.
func TestUsersMistakes(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"a step after the end", "owner exit\nowner map_create type=hash token=t => ?\n",
			"f.txt:9: actor owner has ended"},
		{"forked twice", "owner fork kid\nowner fork kid => ?\n",
			"f.txt:9: kid is no actor declared as child owner that is yet to be forked"},
		{"forked by itself", "owner fork kid\nkid fork kid => ?\n",
			"f.txt:9: kid is no actor declared as child kid that is yet to be forked"},
		{"a name for what makes nothing", "owner call cmd=prog_query -> f => ?\n",
			"f.txt:8: call does not produce a descriptor; remove \"-> f\""},
		{"an errno as a number", "owner map_create type=hash token=t => 1\n",
			`f.txt:8: unknown errno "1": want ok or a name such as EPERM`},
		{"an errno that is none", "owner map_create type=hash token=t => EWHATEVER\n", `f.txt:8: unknown errno "EWHATEVER"`},
		{"an errno in small letters", "owner map_create type=hash => eperm\n",
			`f.txt:8: unknown errno "eperm": want ok or a name such as EPERM`},
		{"capabilities with a comma", "owner map_create type=hash token=t caps=CAP_BPF,CAP_NET_ADMIN\n",
			`f.txt:8: unknown capability "CAP_BPF,CAP_NET_ADMIN": want none, all, or of CAP_BPF`},
		{"a uid that is not mapped", "owner map_create type=hash token=t uid=5\n",
			"f.txt:8: uid 5 is not mapped in the actor's user namespace, which maps 1 from 0 on: " +
				"a userns actor with uid=1000+65536 maps more"},
	} {
		f, err := Parse(t.Context(), "f.txt", "f", inputHead+tt.text)
		if err == nil {
			_, err = f.Expand(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %s", tt.name, err, tt.want)
		}
	}
}
