package cases

import (
	"errors"
	"fmt"
	"slices"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// checkFault refuses a fault that tests nothing: since 6.14 a program's last field ends
// where the smallest attribute ends, and before 6.14 it did not.
func checkFault(s *step.Step) error {
	fault, _ := s.Num(step.KeyAttr)
	if s.Op == step.OpProgLoad && step.AttrFault(fault) == step.AttrTail {
		return errors.New("prog_load takes no attr=tail: fields were added where it would write")
	}
	return nil
}

// checkBody refuses two programs in one.
func checkBody(s *step.Step) error {
	n, body := s.Num(step.KeyBody)
	_, padded := s.Num(step.KeyInsns)
	_, helper := s.Num(step.KeyHelper)
	_, uses := s.Num(step.KeyMap)
	takes := step.Body(n).UsesMap()
	switch {
	case helper && (body || uses):
		return errors.New("helper= is a program of its own: leave prog= and map= out")
	case body && takes && !uses:
		return fmt.Errorf("prog=%s needs map=", step.Bodies[n])
	case uses && (body && !takes || padded):
		return errors.New("map= is a program of its own: leave prog= and insns= out")
	}
	return nil
}

// checkThen refuses capabilities in a namespace that the step does not enter.
func checkThen(s *step.Step) error {
	_, enters := s.Num(step.KeyInside)
	if _, then := s.Num(step.KeyThen); then && !enters {
		return errors.New("then= needs inside=; caps= gives the actor's own capabilities")
	}
	return nil
}

// checkLimits refuses arguments whose 0 would mean 1, and a faulty attribute of a call
// that the kernel makes: such a call reads no attribute of a process.
func checkLimits(s *step.Step) error {
	_, fault := s.Num(step.KeyAttr)
	_, inside := s.Num(step.KeyInside)
	_, kernel := s.Num(step.KeyFromKernel)
	for _, k := range []step.Key{step.KeyNoFD, step.KeyFromKernel, step.KeyCompat} {
		n, ok := s.Num(k)
		switch {
		case ok && n != 1:
			return fmt.Errorf("%s=%d: must be 1 or omitted", s.Op.Row().Of(k).Name, n)
		case ok && k == step.KeyFromKernel && (fault || inside):
			return fmt.Errorf("a call that the kernel makes takes no attr= and no inside=")
		case ok && k == step.KeyCompat && (kernel || inside):
			return fmt.Errorf("a call of 32 bits takes no kernel= and no inside=")
		}
	}
	return nil
}

// checkCommon refuses common attributes of a call that cannot have them, and a log of a command that has none.
func checkCommon(s *step.Step) error {
	n, ok := s.Num(step.KeyCommon)
	of := step.Common(n)
	for _, k := range []step.Key{step.KeyInside, step.KeyFromKernel, step.KeyCompat} {
		_, other := s.Num(k)
		if ok && other && (of != step.CommonEmpty || s.Op != step.OpCall) {
			return fmt.Errorf("common=%s and %s=: such a call has no common attributes", step.Commons[n], s.Op.Row().Of(k).Name)
		}
	}
	_, level := s.Num(step.KeyLog)
	switch own := of == step.CommonSame || of == step.CommonOther; {
	case own && s.Op != step.OpProgLoad && s.Op != step.OpBTFLoad:
		return fmt.Errorf("common=%s: %s has no log of its own", step.Commons[n], s.Op)
	case own && level:
		return fmt.Errorf("common=%s says what the command's own log is: leave log= out", step.Commons[n])
	}
	return nil
}

// checkLSM refuses a condition that the hook has no argument for.
func checkLSM(s *step.Step) error {
	h, _ := s.Num(step.KeyHook)
	at := step.ArgsOf(uapi.Hook(h))
	for _, a := range s.Args {
		where := 0
		switch a.Key {
		case step.KeyHookCmd:
			where = at.Cmd
		case step.KeyHookCap:
			where = at.Cap
		case step.KeyKernel:
			where = at.Kernel
		case step.KeyHookMask:
			where = at.Mask
		case step.KeyHookName:
			where = at.Named
			if len(a.Str) >= step.HookNameLen {
				return fmt.Errorf("name=%s: the name must be shorter than %d characters", a.Str, step.HookNameLen)
			}
		case step.KeyGiven, step.KeyOfCmds, step.KeyOfMaps, step.KeyOfProgs, step.KeyOfAttachs:
			where = at.Token
		}
		if where < 0 {
			return fmt.Errorf("the hook %s has no argument for %s=", uapi.Hooks[h], s.Op.Row().Of(a.Key).Name)
		}
	}
	return checkHookNeeds(s, uapi.Hook(h))
}

// hookNeeds are the conditions without which a hook would be about calls of the harness, too.
var hookNeeds = map[uapi.Hook]step.Key{
	uapi.HookInodePermission: step.KeyHookMask, uapi.HookCapable: step.KeyHookCap,
	uapi.HookTokenFree: step.KeyOfCmds, uapi.HookMapFree: step.KeyHookName, uapi.HookProgFree: step.KeyHookName,
}

func checkHookNeeds(s *step.Step, h uapi.Hook) error {
	if k, ok := hookNeeds[h]; ok && !slices.ContainsFunc(s.Args, func(a step.Arg) bool { return a.Key == k }) {
		return fmt.Errorf("the hook %s needs %s=", uapi.Hooks[h], s.Op.Row().Of(k).Name)
	}
	if errno, _ := s.Num(step.KeyErrno); h.Frees() && errno != 0 {
		return fmt.Errorf("the hook %s can refuse nothing: errno=ok", uapi.Hooks[h])
	}
	return nil
}

// checkCall refuses an argument that the command's request has no field for: the result
// would not depend on it.
func checkCall(s *step.Step) error {
	n, _ := s.Num(step.KeyCmd)
	cmd := uapi.Cmd(n)
	shape := step.CmdShapeOf(cmd)
	attaches := cmd == uapi.BPF_PROG_ATTACH || cmd == uapi.BPF_LINK_CREATE
	on, _ := s.Num(step.KeyOn)
	for _, a := range s.Args {
		takes := true
		switch a.Key {
		case step.KeyID:
			takes = shape != nil && step.TokenCmdOf(cmd) != nil
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
	return checkTokenAt(s, shape != nil && step.TokenCmdOf(cmd) != nil)
}

// checkTokenAt refuses a token of which nobody knows where the command looks for it.
func checkTokenAt(s *step.Step, known bool) error {
	_, given := s.Num(step.KeyToken)
	at, where := s.Num(step.KeyTokenAt)
	flagAt, flag := s.Num(step.KeyFlagAt)
	n, _ := s.Num(step.KeyCmd)
	switch {
	case known && (where || flag):
		return fmt.Errorf("%s has a place for a token: leave token_at= and flag_at= out", uapi.Cmd(n))
	case !known && given && !where:
		return fmt.Errorf("%s has no place for a token: say with token_at=OFFSET where one would be, and with "+
			"flag_at=OFFSET where its flags are", uapi.Cmd(n))
	case !given && (where || flag), flag && !where:
		return errors.New("token_at= and flag_at= say where token= goes: they need it, and flag_at= needs token_at=")
	case at > uapi.AttrSize-4 || flagAt > uapi.AttrSize-4:
		return fmt.Errorf("the attribute is %d bytes long: token_at=%d and flag_at=%d must leave room for 4 bytes",
			uapi.AttrSize, at, flagAt)
	}
	return nil
}
