package step

import (
	"slices"
	"testing"

	"tokentest/cases/uapi"
)

// checkTokenCmd says what is wrong with a row.
func checkTokenCmd(c *TokenCmd) []string {
	var out []string
	if c.Token.Size != 4 || c.Flags.Size != 4 || c.Token == c.Flags {
		out = append(out, "the token and the flags are two members of 4 bytes")
	}
	for k := range Keys {
		f := c.Fields[k]
		switch {
		case f.Size == 0:
		case !k.Field():
			out = append(out, "a member is an argument's that replaces none")
		case f.Size != 4 && f.Size != 8 || int(f.Off+f.Size) > uapi.AttrSize || f == c.Token:
			out = append(out, "a member is no number of the attribute, or the token")
		}
	}
	return out
}

// Each command that takes a token has its row, and its operation takes what replaces a member.
func TestTokenCmds(t *testing.T) {
	for i := range tokenCmds {
		c := &tokenCmds[i]
		for _, why := range checkTokenCmd(c) {
			t.Errorf("%s: %s", c.Cmd, why)
		}
		op := OpNamed(c.Cmd.String())
		if op == 0 && CmdShapeOf(c.Cmd) == nil {
			t.Errorf("%s: no operation makes it", c.Cmd)
		}
		for k := range Keys {
			if c.Fields[k].Size != 0 && op.Row().Of(k) == nil {
				t.Errorf("%s: the operation does not take the argument %d", c.Cmd, k)
			}
		}
	}
	for o := Op(1); o < Ops; o++ {
		m, isCmd := uapi.Cmds.Lookup(o.String())
		if isCmd && o.Row().Of(KeyToken) != nil && TokenCmdOf(uapi.Cmd(m.Value)) == nil {
			t.Errorf("%s takes a token and has no row", o)
		}
	}
	if TokenCmdOf(uapi.BPF_MAP_LOOKUP_ELEM) != nil {
		t.Error("map_lookup_elem takes a token")
	}
}

// Where the commands have the token and the flag, as the kernel's CHECK_ATTR and its
// token_get calls name them.
func TestTokenCmdsByExample(t *testing.T) {
	for cmd, want := range map[uapi.Cmd][2]uapi.Field{
		uapi.BPF_MAP_CREATE:       {{Off: 76, Size: 4}, {Off: 16, Size: 4}},
		uapi.BPF_PROG_LOAD:        {{Off: 144, Size: 4}, {Off: 44, Size: 4}},
		uapi.BPF_BTF_LOAD:         {{Off: 36, Size: 4}, {Off: 32, Size: 4}},
		uapi.BPF_BTF_GET_FD_BY_ID: {{Off: 12, Size: 4}, {Off: 8, Size: 4}},
	} {
		if c := TokenCmdOf(cmd); c == nil || c.Token != want[0] || c.Flags != want[1] {
			t.Errorf("%s: %+v, want %v", cmd, c, want)
		}
	}
}

func TestTokenCmdsCanFail(t *testing.T) {
	for name, spoil := range map[string]func(c *TokenCmd){
		"no token":      func(c *TokenCmd) { c.Token = uapi.Field{} },
		"the same":      func(c *TokenCmd) { c.Flags = c.Token },
		"another key":   func(c *TokenCmd) { c.Fields[KeyToken] = uapi.Attr_map_flags },
		"the token":     func(c *TokenCmd) { c.Fields[KeyNUMA] = c.Token },
		"beyond":        func(c *TokenCmd) { c.Fields[KeyNUMA] = uapi.Field{Off: uapi.AttrSize, Size: 4} },
		"of odd length": func(c *TokenCmd) { c.Fields[KeyNUMA] = uapi.Attr_map_name },
	} {
		c := tokenCmds[slices.IndexFunc(tokenCmds, func(c TokenCmd) bool { return c.Cmd == uapi.BPF_MAP_CREATE })]
		spoil(&c)
		if len(checkTokenCmd(&c)) == 0 {
			t.Errorf("%s: nothing is noticed", name)
		}
	}
}
