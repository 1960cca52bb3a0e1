package cases

import (
	"fmt"
	"slices"

	"tokentest/cases/oracle"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// cmdArg reads a command of bpf(2) that call makes.
func cmdArg(value string) (uint64, error) {
	m, ok := uapi.Cmds.Lookup(value)
	if !ok {
		return 0, fmt.Errorf("unknown %s %q%s", uapi.Cmds.Tag, value, suggest(value, cmdNames()))
	}
	if own := step.OpNamed(uapi.Cmd(m.Value).String()); own != 0 {
		return 0, fmt.Errorf("%s has an operation of its own: ACTOR %s", value, own)
	}
	if _, notNum := parseNum(value); notNum != nil && step.CmdShapeOf(uapi.Cmd(m.Value)) == nil {
		return 0, fmt.Errorf("no request is known for %s", value)
	}
	return uint64(m.Value), nil
}

func cmdNames() []string {
	var names []string
	for i := range step.CmdShapes {
		names = append(names, step.CmdShapes[i].Cmd.String())
	}
	return names
}

// checkCall refuses an argument that the command's request has no place for:
// what it then answered would say nothing of it.
func checkCall(s *step.Step) error {
	n, _ := s.Num(step.KeyCmd)
	cmd := uapi.Cmd(n)
	shape := step.CmdShapeOf(cmd)
	attaches := cmd == uapi.BPF_PROG_ATTACH || cmd == uapi.BPF_LINK_CREATE
	on, _ := s.Num(step.KeyOn)
	for _, a := range s.Args {
		takes := true
		switch a.Key {
		case step.KeyToken, step.KeyID:
			takes = shape != nil && shape.Token
		case step.KeyProg:
			takes = attaches
		case step.KeyOn:
			takes = step.On(on) == step.OnSkb && attaches || step.On(on) == step.OnTCX && cmd == uapi.BPF_PROG_DETACH ||
				step.On(on) == step.OnPrivate && cmd == uapi.BPF_OBJ_GET
		}
		if !takes {
			return fmt.Errorf("%s takes no %s=", cmd, s.Op.Row().Of(a.Key).Name)
		}
	}
	return nil
}

// eachCommand makes an axis of every command that call knows a request for.
func eachCommand() []axisValue {
	var out []axisValue
	for i := range step.CmdShapes {
		s := &step.CmdShapes[i]
		name := s.Cmd.String()
		v := axisValue{name: name, text: name, vars: map[string]string{"others": othersMask(uint32(s.Cmd))}}
		at := slices.IndexFunc(uapi.Cmds.Members, func(m uapi.Member) bool { return m.Value == uint32(s.Cmd) })
		v.needs = append(v.needs, enumNeed(&uapi.Cmds, uapi.Cmds.Members[at]))
		v.needs = append(v.needs, configNeeds(s.Config)...)
		out = append(out, v)
	}
	return out
}

// call is the request behind a call step.
func (a *simActor) call(st *step.Step) *oracle.Call {
	get := func(k step.Key) uint32 { n, _ := st.Num(k); return uint32(n) }
	r := &oracle.Call{
		Cmd: uapi.Cmd(get(step.KeyCmd)), Common: get(step.KeyCommon) != 0, Fault: faultOf(st),
		On: oracle.CallOn(get(step.KeyOn)), ID: get(step.KeyID),
	}
	if h, ok := st.Num(step.KeyToken); ok {
		r.Token = oracle.TokenRef{Flag: true, FD: a.fds[step.Handle(h)]}
	}
	if h, ok := st.Num(step.KeyProg); ok {
		r.On, r.Prog, r.Given = oracle.CallSkb, a.fds[step.Handle(h)], true
	}
	return r
}

// progLoad plays a program's load; what is loaded remembers its token.
func (s *Sim) progLoad(a *simActor, st *step.Step) Expect {
	r := s.progRequest(a, st)
	e := s.object(a, st, r)
	if fd, ok := a.fds[st.Out]; ok && st.Out != 0 && e.Verdict.Known && e.Verdict.Errno == 0 {
		w := s.world(a, st)
		fd.Token = r.Keeps(&w)
		fd.Loaded = &oracle.Symbol{Loaded: true, Token: fd.Token, Loader: w.Caller}
		body, _ := st.Num(step.KeyBody)
		fd.Spills = step.Body(body) == step.BodySpill
		a.fds[st.Out] = fd
		s.name(st, *fd.Loaded)
	}
	return e
}

// setSysctl plays the broker's write. 1 stays.
func (s *Sim) setSysctl(a *simActor, st *step.Step) Expect {
	v, _ := st.Num(step.KeyValue)
	e := s.decide(a, st, &oracle.Sysctl{Value: int(v)})
	if e.Verdict.Errno == 0 {
		s.sysctl = int(v)
	}
	return e
}

// Locks reports whether the world's cells, or its set-up, set
// kernel.unprivileged_bpf_disabled to 1, after which a machine is good for
// no world that wants another value.
func (w *World) Locks() bool { return w.locks }

func locks(steps []step.Step) bool {
	return slices.ContainsFunc(steps, func(s step.Step) bool {
		v, _ := s.Num(step.KeyValue)
		return s.Op == step.OpSysctl && v == oracle.SysctlLocked
	})
}
