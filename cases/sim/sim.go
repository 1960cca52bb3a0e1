// Package sim plays a program on facts: a program and what is known about a kernel
// go in, what each step must show comes out. It asks the oracle for each decision
// and keeps what the actors own between steps: descriptors, mounts, contexts,
// BPF-LSM programs.
//
// It reads no case file and knows no pin; package cases does. It has no rule of
// the kernel; package oracle does.
//
// Start with Step: the table plays has a function for each operation.
package sim

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"tokentest/cases/oracle"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// Expect is what the oracle says a step must show: the verdict, and for a
// step that makes a token the four masks that its fdinfo must show.
type Expect struct {
	Verdict oracle.Verdict
	Values  []uint64
	Text    string        // what the kernel must show in words
	AtMost  []uint64      // what each number must not exceed
	Among   []uint64      // what every number must be one of
	Code    *uint64       // the exit status that a program must have
	Prints  string        // what its output must contain
	Trace   []oracle.Line // when the simulation explains
	own     bool          // the step is the harness's own
}

// Decides reports whether a step with the expected result says something
// about the kernel: a step of the harness itself does so only where something
// that it shows is compared.
func (e *Expect) Decides() bool {
	return !e.own || e.Text != "" || e.AtMost != nil || e.Among != nil || e.Code != nil || e.Prints != ""
}

// Sim plays a program as the oracle sees it. It holds what the actors own
// after the steps so far.
type Sim struct {
	kernel    *oracle.Kernel
	facts     *step.Facts
	actors    []actor
	sysctl    int
	explains  bool
	lsm       []attached                         // in the order in which they were attached
	lives     []life                             // objects whose end a hook shows
	noFiles   bool                               // fs.file-max is used up
	serials   int                                // of objects so far
	symbols   []named                            // of programs that have a name
	tables    map[int]map[uint64][]*oracle.Mount // by mount namespace and place
	sequence  int                                // mounts so far
	spaces    int                                // address spaces so far
	attached  attachments
	groups    int          // peer groups so far
	vague     map[int]bool // mount namespaces whose mounts are not followed any more
	untracked bool         // some actor has a descriptor that is not followed
}

type actor struct {
	cred   oracle.Cred
	mounts int    // its mount namespace: the actor that has it, 0 for the initial one
	memory uint64 // the memory.max of its cgroup, 0 for none
	// mountNS is the user namespace of its mount namespace; nil for its own.
	mountNS *oracle.Userns
	bits    uint8 // its securebits
	net     bool  // it is in a network namespace of its own
	fds     map[step.Handle]oracle.FD
	// memory space: a number that no other actor, and no earlier program of the actor, has.
	space int
}

// unprivDefault is what the broker sets kernel.unprivileged_bpf_disabled to
// when a world begins.
const unprivDefault = 2

// unprivLocked is the value that no other can follow.
const unprivLocked = 1

// New starts a program on a kernel. With explain every expectation carries
// its trace.
func New(f *step.Facts, p *step.Program, explain bool) *Sim {
	s := &Sim{kernel: KernelOf(f), facts: f, sysctl: startsWith(f), explains: explain,
		tables:   map[int]map[uint64][]*oracle.Mount{},
		attached: attachments{map[step.Spot]*oracle.Chain{}, map[*oracle.Bond]bond{}}}
	for i, a := range p.Actors {
		in := actor{cred: oracle.Cred{Userns: oracle.Initial}}
		if a.Parent >= 0 {
			in = s.actors[a.Parent]
		}
		if a.Kind == step.Userns {
			in = in.below(&p.Actors[i], i+1)
		}
		in.cred.Euid, in.cred.Caps, in.memory, in.fds = a.UID, a.Caps, 0, map[step.Handle]oracle.FD{}
		if in.cred.Userns != oracle.Initial {
			in.cred.Euid, _ = in.cred.Userns.Kuid(a.As)
		}
		in.space, in.bits = s.newSpace(), a.Bits
		s.actors = append(s.actors, in)
	}
	return s
}

// below is a process in a user namespace below the one of a; mounts is the number of a new mount namespace.
func (a actor) below(as *step.Actor, mounts int) actor {
	parent := a.cred.Userns
	owner := as.UID
	if parent != oracle.Initial {
		owner, _ = parent.Kuid(0) // the first thread makes it
	}
	in := &oracle.Userns{Parent: parent, Owner: owner}
	for _, l := range as.Map.Lines() {
		l.Outer, _ = parent.Kuid(l.Outer)
		in.Lines = append(in.Lines, l)
	}
	out := actor{cred: oracle.Cred{Userns: in}, mounts: mounts}
	out.net = a.net || as.Apart&step.ApartNet != 0
	switch as.Mounts {
	case step.MountsBefore:
		out.mountNS = parent
	case step.MountsParent:
		out.mountNS, out.mounts = cmp.Or(a.mountNS, parent), a.mounts
	}
	return out
}

// Cred returns the credentials of an actor's process.
func (s *Sim) Cred(actor uint32) oracle.Cred { return s.actors[actor].cred }

// FD returns what an actor has under a handle; the zero value is a descriptor that is not open.
func (s *Sim) FD(actor uint32, h step.Handle) oracle.FD { return s.actors[actor].fds[h] }

// UnprivDisabled is kernel.unprivileged_bpf_disabled after the steps so far.
func (s *Sim) UnprivDisabled() int { return s.sysctl }

// Holds reports whether the descriptor that a step passes or closes is there.
func (s *Sim) Holds(st *step.Step) bool {
	if st.Op != step.OpSend && st.Op != step.OpClose {
		return true
	}
	h, ok := st.Num(step.KeyHandle)
	return !ok || s.FD(st.Actor, step.Handle(h)).Kind != oracle.Closed
}

// startsWith is the value of kernel.unprivileged_bpf_disabled when a world begins.
func startsWith(f *step.Facts) int {
	if v, _ := f.Running(step.UnprivDisabled); v == unprivLocked {
		return unprivLocked
	}
	return unprivDefault
}

// Omit has the oracle leave a rule out.
func (s *Sim) Omit(rule string) { s.kernel.Omit = rule }

// Held sets the function that is called with each rule that matters, here and in later forks.
func (s *Sim) Held(held func(rule string)) { s.kernel.Held = held }

// Fork returns a copy that a cell may change without the next one seeing it.
func (s *Sim) Fork() *Sim {
	c := *s
	c.actors = make([]actor, len(s.actors))
	for i, a := range s.actors {
		fds := make(map[step.Handle]oracle.FD, len(a.fds))
		for h, fd := range a.fds {
			fds[h] = fd
		}
		a.fds = fds
		c.actors[i] = a
	}
	if s.needsMountsCopied() {
		c.copyMounts()
	}
	c.vague = maps.Clone(s.vague)
	c.lsm = s.forkLSM()
	c.attached = s.attached.clone()
	c.symbols = slices.Clip(s.symbols) // a name that the fork adds must not reach s
	return &c
}

// ErrUnknownOp is what Step returns for an operation that no play stands for.
var ErrUnknownOp = errors.New("the simulation does not know the operation")

// plays says how each operation is played.
var plays = [step.Ops]func(s *Sim, a *actor, st *step.Step) Expect{
	step.OpBPFFS:         (*Sim).bpffs,
	step.OpTokenCreate:   (*Sim).tokenCreate,
	step.OpMapCreate:     (*Sim).mapCreate,
	step.OpProgLoad:      (*Sim).progLoad,
	step.OpBTFLoad:       (*Sim).btfLoad,
	step.OpSend:          (*Sim).send,
	step.OpClose:         (*Sim).closeFD,
	step.OpSysctl:        (*Sim).setSysctl,
	step.OpSysrq:         (*Sim).sysrq,
	step.OpCall:          (*Sim).call,
	step.OpFsopen:        (*Sim).fsopen,
	step.OpFsconfig:      (*Sim).fsconfig,
	step.OpFscreate:      (*Sim).fscreate,
	step.OpFsreconfigure: (*Sim).fsreconfigure,
	step.OpFspick:        (*Sim).fspick,
	step.OpFsmount:       (*Sim).fsmount,
	step.OpMoveMount:     (*Sim).moveMount,
	step.OpMount:         (*Sim).mount,
	step.OpRemount:       (*Sim).remount,
	step.OpBind:          (*Sim).bind,
	step.OpCloneMount:    (*Sim).cloneMount,
	step.OpShare:         (*Sim).share,
	step.OpUmount:        (*Sim).umount,
	step.OpOpen:          (*Sim).open,
	step.OpMkdir:         (*Sim).makeName,
	step.OpChmod:         (*Sim).chmod,
	step.OpStat:          (*Sim).stat,
	step.OpMountinfo:     (*Sim).mountinfo,
	step.OpFdinfo:        (*Sim).fdinfo,
	step.OpTokenInfo:     (*Sim).tokenInfo,
	step.OpPin:           (*Sim).makeName,
	step.OpLink:          (*Sim).makeName,
	step.OpDup:           (*Sim).dup,
	step.OpCloexec:       (*Sim).cloexec,
	step.OpExec:          (*Sim).exec,
	step.OpFork:          (*Sim).fork,
	step.OpExit:          (*Sim).exit,
	step.OpUserns:        (*Sim).userns,
	step.OpNetns:         (*Sim).netns,
	step.OpSetns:         (*Sim).setns,
	step.OpPidfdGetfd:    (*Sim).take,
	step.OpProcOpen:      (*Sim).take,
	step.OpChurn:         (*Sim).churn,
	step.OpNamespaces:    (*Sim).namespaces,
	step.OpRace:          (*Sim).race,
	step.OpLSM:           (*Sim).attachLSM,
	step.OpLSMOff:        (*Sim).stopLSM,
	step.OpLSMRan:        (*Sim).ranLSM,
	step.OpMemory:        (*Sim).memory,
	step.OpKallsyms:      (*Sim).kallsyms,
	step.OpLibrary:       (*Sim).library,
	step.OpElement:       (*Sim).element,
	step.OpObjGet:        (*Sim).objGet,
	step.OpConsume:       (*Sim).consume,
	step.OpBarriers:      (*Sim).barriers,
	step.OpReopen:        (*Sim).reopen,
	step.OpLinkCreate:    (*Sim).linkCreate,
	step.OpProgAttach:    (*Sim).progAttach,
	step.OpProgDetach:    (*Sim).progDetach,
	step.OpLinkUpdate:    (*Sim).linkUpdate,
	step.OpMmap:          (*Sim).mmap,
	step.OpLinkDetach:    (*Sim).linkDetach,
	step.OpIterCreate:    (*Sim).iterCreate,
	step.OpAttached:      (*Sim).showAttached,
	step.OpMountAttr:     (*Sim).mountAttr,
	step.OpFile:          (*Sim).fileCall,
	step.OpProcFdinfo:    (*Sim).procFdinfo,
	step.OpRaw:           (*Sim).raw,
	step.OpRun:           (*Sim).run,
	step.OpFreeze:        (*Sim).freeze,
	step.OpBatch:         (*Sim).batch,
	step.OpProgInfo:      (*Sim).progInfo,
	step.OpWriteSysctl:   (*Sim).writeSysctl,
	step.OpKernelBTF:     (*Sim).kernelBTF,
	step.OpXattr:         (*Sim).xattr,
	step.OpTranslated:    (*Sim).translated,
	step.OpRunProg:       (*Sim).runProg,
	step.OpSymlink:       (*Sim).makeName,
	step.OpFileMax:       (*Sim).fileMax,
	step.OpLinkInfo:      (*Sim).linkInfo,
	step.OpQueryEvent:    (*Sim).queryEvent,
	step.OpSELinux:       (*Sim).setSELinux,
}

// Step plays one step and says what it must show. A step that uses a descriptor
// which another one made whose answer the oracle does not know has no known
// answer either. An operation that the simulation does not know is ErrUnknownOp.
func (s *Sim) Step(st *step.Step) (Expect, error) {
	if !st.Op.Known() || plays[st.Op] == nil {
		return Expect{}, fmt.Errorf("%w %s", ErrUnknownOp, st.Op)
	}
	a := &s.actors[st.Actor]
	if s.untracked && s.usesUntracked(a, st) {
		return s.passUntracked(a, st), nil
	}
	if _, attaches := st.Num(step.KeySpot); attaches && a.net {
		if st.Out != 0 {
			s.untrack(a, st)
		}
		return notFollowed(st, "the rules follow only what is attached in the initial network namespace"), nil
	}
	if s.vague[a.mounts] && usesMounts(st) {
		return s.passVague(a, st), nil
	}
	e := plays[st.Op](s, a, st)
	if !e.Verdict.Known && st.Out != 0 {
		s.untrack(a, st)
	}
	if !e.Verdict.Known && (st.Op == step.OpMoveMount || st.Op == step.OpBind) {
		s.lose(a)
	}
	return e, nil
}

// Play plays steps in order and returns what each must show. With an error it returns
// the steps before the one that failed.
func (s *Sim) Play(steps []step.Step) ([]Expect, error) {
	out := make([]Expect, len(steps))
	for i := range steps {
		var err error
		if out[i], err = s.Step(&steps[i]); err != nil {
			return out[:i], err
		}
	}
	return out, nil
}

// send gives another actor a descriptor, which is received with FD_CLOEXEC.
func (s *Sim) send(a *actor, st *step.Step) Expect {
	h, _ := st.Num(step.KeyHandle)
	to, _ := st.Num(step.KeyTo)
	fd := a.fds[step.Handle(h)]
	e := harnessStep(st.Op)
	if fd.Kind == oracle.Closed {
		e.Verdict.Errno, e.Verdict.Func = uapi.Errno(unix.EBADF), "scm_fp_copy"
		e.Verdict.Rule = "the descriptor is not open"
		return e
	}
	fd.Stays = false
	s.actors[to].fds[step.Handle(h)] = fd
	return e
}

func (s *Sim) closeFD(a *actor, st *step.Step) Expect {
	h, _ := st.Num(step.KeyHandle)
	e := harnessStep(st.Op)
	if a.fds[step.Handle(h)].Kind == oracle.Closed {
		e.Verdict.Errno = uapi.Errno(unix.EBADF)
	}
	delete(a.fds, step.Handle(h))
	s.unname(st, step.Handle(h))
	return e
}

// reopen makes a descriptor that refers to no token.
func (s *Sim) reopen(a *actor, st *step.Step) Expect {
	if st.Out != 0 {
		a.fds[st.Out] = oracle.FD{Kind: oracle.Object}
	}
	return harnessStep(st.Op)
}

func (s *Sim) sysrq(*actor, *step.Step) Expect {
	return Expect{Verdict: oracle.Verdict{Rule: "the step provokes a fault", ID: "sysrq"}}
}

func (s *Sim) mapCreate(a *actor, st *step.Step) Expect {
	r := a.mapCreate(st)
	s.newer(&r.Fault, r.Attr != nil && r.Attr.Excl != nil)
	e := s.object(a, st, r)
	if fd, ok := a.fds[st.Out]; ok && st.Out != 0 && e.OK() && fd.Content != nil && r.Attr != nil {
		fd.Content.Special, fd.Content.Exclusive = r.Attr.Special, r.Attr.Excl != nil
		fd.Content.Field = r.Attr.Field
		_, fd.Content.Own = st.Num(step.KeyOwnHash)
		fd.Content.Short = r.Type == uapi.BPF_MAP_TYPE_ARRAY && r.Attr.Value == 4 && r.Attr.Max == 1
	}
	if e.OK() {
		s.born(a, st, uapi.HookMapFree, nil)
	}
	return e
}

func (s *Sim) btfLoad(a *actor, st *step.Step) Expect { return s.object(a, st, a.btfLoad(st)) }

// call is not followed where a case says where the command might look for a token.
func (s *Sim) call(a *actor, st *step.Step) Expect {
	if _, ok := st.Num(step.KeyTokenAt); ok {
		return notFollowed(st, "no rule knows what this command does with a token")
	}
	e := s.decide(a, st, a.call(st))
	switch n, _ := st.Num(step.KeyCmd); {
	case st.Out == 0 || !e.OK():
	case uapi.Cmd(n) == uapi.BPF_BTF_GET_FD_BY_ID:
		a.keep(st, oracle.FD{Kind: oracle.Object, BTF: true}) // root's, with one type
	default:
		s.untrack(a, st)
	}
	return e
}

func (s *Sim) raw(_ *actor, st *step.Step) Expect {
	return notFollowed(st, "no rule follows an attribute that a step spells out")
}

// run expects that the program could be started, and ends as the step says.
func (s *Sim) run(a *actor, st *step.Step) Expect {
	refused := func(id, why string) Expect {
		return Expect{Verdict: oracle.Verdict{Known: true, Errno: uapi.Errno(unix.EPERM), Func: "cap_task_prctl",
			Rule: why, ID: "run/" + id}}
	}
	way, _ := st.Num(step.KeyWay)
	ambient := step.RunWay(way) != step.WayExec
	had := uint32(a.bits)
	bits := or(st, step.KeySecurebits, had)
	if ambient {
		bits |= noRoot
	}
	locks := had & allLocks
	switch {
	case locks>>1&(had^bits) != 0 || locks&^bits != 0:
		return refused("securebits-locked",
			"the actor's securebits lock a bit that would change, or a lock would be taken away")
	case bits&noAmbientRaise != 0 && ambient && st.Caps != 0:
		return refused("no-ambient-raise", "SECBIT_NO_CAP_AMBIENT_RAISE: no capability becomes an ambient one")
	}
	e := harnessStep(st.Op)
	e.Prints = text(st, step.KeyPrints)
	n, any := uint64(0), false
	if code := text(st, step.KeyCode); code != "" {
		var err error
		n, err = strconv.ParseUint(code, 10, 8)
		any = err != nil
	}
	if !any {
		e.Code = &n
	}
	return e
}

// SECBIT_NOROOT, SECBIT_NO_CAP_AMBIENT_RAISE and SECURE_ALL_LOCKS.
const (
	noRoot         = 1
	noAmbientRaise = 1 << 6
	allLocks       = 0xaa
)

// notFollowed is a step that only a pin can judge.
func notFollowed(st *step.Step, why string) Expect {
	return Expect{Verdict: oracle.Verdict{Rule: why, ID: st.Op.String() + "/not-modelled"}}
}

// harnessStep is a step of the harness itself, which only a fault of the set-up stops.
func harnessStep(op step.Op) Expect {
	return Expect{Verdict: oracle.Verdict{Known: true, Rule: "the harness's own step", Func: op.String(),
		ID: op.String()}, own: true}
}

func (s *Sim) tokenCreate(a *actor, st *step.Step) Expect {
	flags, _ := st.Num(step.KeyFlags)
	req := &oracle.TokenCreate{Flags: uint32(flags), Fault: faultOf(st)}
	if h, ok := st.Num(step.KeyBPFFS); ok {
		req.BPFFS = a.fds[step.Handle(h)]
	}
	req.NoFD = noFD(st)
	e := s.decide(a, st, req)
	if e.Verdict.Known && e.Verdict.Errno == 0 {
		masks := req.BPFFS.BPFFS.Delegate
		e.Values = s.kernel.Shown(masks)
		token := &oracle.Token{Userns: req.BPFFS.BPFFS.Userns, Allowed: masks}
		a.keep(st, oracle.FD{Kind: oracle.TokenFD, Mount: req.BPFFS.Mount,
			BPFFS: req.BPFFS.BPFFS, Token: token, Inode: tokenInode(a, st)})
		s.born(a, st, uapi.HookTokenFree, token)
	}
	return e
}

// progRequest is the request of a prog_load step.
func (s *Sim) progRequest(a *actor, st *step.Step) *oracle.ProgLoad {
	t, _ := st.Num(step.KeyType)
	at, _ := st.Num(step.KeyAttach)
	req := &oracle.ProgLoad{Type: uapi.ProgType(t), Attach: uapi.AttachType(at), Token: a.tokenRef(st),
		Fault: faultOf(st), NoFD: noFD(st)}
	req.Attr = progAttr(a, st, step.ProgShapeOf(req.Type, req.Attach))
	if req.Attr != nil && req.Attr.Binds != nil && s.kernel.Release.Less(boundSince) {
		req.Fault.Tail = true // CHECK_ATTR: the attribute ends before fd_array_cnt
	}
	if req.Attr != nil && (req.Attr.Sign != nil || req.Attr.Signed || or(st, step.KeyRing, 0) != 0) &&
		s.kernel.Release.Less(signedSince) && !req.Fault.Unreadable {
		req.Fault.TooLong = true // the attribute ends before the signature
	}
	if step.ProgShapeOf(req.Type, req.Attach).Member != "" {
		req.Attach = uapi.AttachType(s.facts.StructOpsIndex)
	}
	return req
}

// boundSince is the release that has fd_array_cnt.
var boundSince = uapi.Release{Major: 6, Minor: 14}

func (s *Sim) object(a *actor, st *step.Step, r oracle.Request) Expect {
	e := s.decide(a, st, r)
	if e.Verdict.Known && e.Verdict.Errno == 0 && st.Out != 0 {
		_, lock := st.Num(step.KeyLock)
		field, _ := st.Num(step.KeyField)
		fd := oracle.FD{Kind: oracle.Object, Pinned: st.Op == step.OpMapCreate || st.Op == step.OpProgLoad,
			BTF: st.Op == step.OpBTFLoad, Lock: lock, Label: s.world(a, st).Domain}
		if field != 0 {
			fd.Sizes = step.Field(field).Sizes()
			if !s.kernel.Release.Less(step.FieldShapes[field].Since) {
				fd.Field = fieldKinds[step.Field(field)]
			}
		}
		if st.Op == step.OpMapCreate {
			fd.Map, fd.Content, fd.Only = mapOf(st), &oracle.Content{Wide: or(st, step.KeyKeySize, 0) > lookupKey,
				Placed: or(st, step.KeyExtra, 0) != 0, Plain: !overrides(st), Masked: s.masks(a, st),
				Flags: or(st, step.KeyFlags, step.MapShapeOf(mapOf(st)).Flags)},
				oracle.DirectionOf(or(st, step.KeyFlags, 0))
		}
		a.keep(st, fd)
	}
	return e
}

// masks reports whether the programs that use a step's map mask its indexes.
func (s *Sim) masks(a *actor, st *step.Step) bool {
	w, _ := s.entered(a, st)
	return w.Masks()
}

// lookupKey is the longest key that a program of KeyMap has room for.
const lookupKey = 8

// mapOf is the type of the map that a step makes.
func mapOf(st *step.Step) uapi.MapType {
	t, _ := st.Num(step.KeyType)
	return uapi.MapType(t)
}

func (s *Sim) decide(a *actor, st *step.Step, r oracle.Request) Expect {
	w, refused := s.entered(a, st)
	if refused != nil {
		return *refused
	}
	var e Expect
	if s.explains {
		e.Verdict, e.Trace = oracle.Explain(&w, r)
	} else {
		e.Verdict = oracle.Decide(&w, r)
	}
	if n, ok := st.Num(step.KeyCommon); ok && e.OK() && step.Common(n) != step.CommonEmpty {
		size, log := commons[step.Common(n)].Writes(commandOf(st))
		e.Text = fmt.Sprintf("log_true_size %s, log %s", size, log)
	}
	return e
}

// commandOf is the command of bpf(2) that a step makes, if it has common attributes.
func commandOf(st *step.Step) uapi.Cmd {
	switch st.Op {
	case step.OpMapCreate:
		return uapi.BPF_MAP_CREATE
	case step.OpProgLoad:
		return uapi.BPF_PROG_LOAD
	case step.OpBTFLoad:
		return uapi.BPF_BTF_LOAD
	case step.OpTokenCreate:
		return uapi.BPF_TOKEN_CREATE
	}
	n, _ := st.Num(step.KeyCmd)
	return uapi.Cmd(n)
}

// callerOf is the credentials with which a step makes its call.
func (s *Sim) callerOf(a *actor, st *step.Step) oracle.Cred { return s.world(a, st).Caller }

// world is what a step's call meets.
func (s *Sim) world(a *actor, st *step.Step) oracle.World {
	w := oracle.World{Kernel: s.kernel, Caller: a.cred, UnprivDisabled: s.sysctl, LSM: s.lsmOf(st.Actor), Memory: a.memory,
		MountNS: a.mountNS}
	w.NoFiles = s.noFiles
	_, w.Sandbox = st.Num(step.KeySandbox)
	domain, _ := st.Num(step.KeyDomain)
	w.Domain = domains[domain]
	w.Caller.Denied = denied(w.LSM)
	w.Caller.Caps = st.Caps &^ w.Caller.Denied
	if id, ok := st.Num(step.KeyAsUID); ok {
		w.Caller.Euid, _ = a.cred.Userns.Kuid(uint32(id))
	}
	return w
}
