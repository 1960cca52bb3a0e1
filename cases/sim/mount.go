package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"tokentest/cases/oracle"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// handle returns the descriptor that an argument names.
func (a *actor) handle(st *step.Step, k step.Key) oracle.FD {
	h, _ := st.Num(k)
	return a.fds[step.Handle(h)]
}

func (a *actor) keep(st *step.Step, fd oracle.FD) {
	if st.Out != 0 {
		fd.Stays = false // every descriptor is made with FD_CLOEXEC
		a.fds[st.Out] = fd
	}
}

// mounted returns what is mounted on top of a place, in the actor's mount
// namespace; nil for nothing.
func (s *Sim) mounted(a *actor, st *step.Step, k step.Key) *oracle.Mount {
	at, _ := st.Num(k)
	return top(s.tables[a.mounts][at])
}

// OK reports that a call is known to be allowed.
func (e Expect) OK() bool { return e.Verdict.Known && e.Verdict.Errno == 0 }

func mountOptions(st *step.Step) []oracle.MountOption {
	var out []oracle.MountOption
	_, noString := st.Num(step.KeyAs)
	for _, arg := range st.Args {
		if name := arg.Key.MountOption(); name != "" {
			out = append(out, oracle.MountOption{Option: oracle.Option{Name: name, Value: arg.Str}, Flag: noString})
		} else if arg.Key == step.KeyFlag {
			out = append(out, oracle.MountOption{Option: oracle.Option{Name: arg.Str}, Flag: true})
		}
	}
	return out
}

func newRoot(c oracle.Cred) oracle.Inode { return oracle.Inode{UID: c.Euid, GID: c.Euid, Mode: 0o777} }

func (s *Sim) fsopen(a *actor, st *step.Step) Expect {
	e := s.decide(a, st, &oracle.Fsopen{})
	if e.OK() {
		a.keep(st, oracle.FD{Kind: oracle.ContextFD, Context: &oracle.Context{Userns: a.cred.Userns, Root: newRoot(a.cred)}})
	}
	return e
}

func (s *Sim) fsconfig(a *actor, st *step.Step) Expect {
	fd := a.handle(st, step.KeyContext)
	var e Expect
	for _, o := range mountOptions(st) {
		x := fd.Context
		if e = s.decide(a, st, &oracle.Fsconfig{FD: fd, Set: o}); !e.OK() || x == nil {
			return e
		}
		if x.Phase == oracle.AwaitingReconf {
			x.Phase = oracle.ReconfParams
		}
		x.Apply(s.kernel, a.cred, o)
	}
	return e
}

func (s *Sim) fscreate(a *actor, st *step.Step) Expect {
	fd := a.handle(st, step.KeyContext)
	e := s.decide(a, st, &oracle.Fscreate{FD: fd, Excl: flag(st, step.KeyExcl)})
	switch {
	case fd.Context == nil:
	case !e.Verdict.Known:
		s.loseContext(fd.Context)
	case e.OK():
		fd.Context.Phase, fd.Context.FS = oracle.AwaitingMount, fd.Context.Create()
	case e.Verdict.ID == "fscreate/fill-super" || e.Verdict.ID == "fscreate/userns-mount":
		fd.Context.Phase = oracle.Failed
	}
	return e
}

func (s *Sim) fsreconfigure(a *actor, st *step.Step) Expect {
	fd := a.handle(st, step.KeyContext)
	e := s.decide(a, st, &oracle.Fsreconfigure{FD: fd})
	switch {
	case fd.Context == nil:
	case e.OK(): // bpffs has no reconfigure: nothing changes
		fd.Context.Phase, fd.Context.Source = oracle.AwaitingReconf, false
	case e.Verdict.ID == "fsreconfigure/no-cap":
		fd.Context.Phase = oracle.Failed
	}
	return e
}

func (s *Sim) fspick(a *actor, st *step.Step) Expect {
	m := s.mounted(a, st, step.KeyAt)
	e := s.decide(a, st, &oracle.MountCall{What: oracle.Fspick, On: m})
	if e.OK() && m != nil {
		a.keep(st, oracle.FD{Kind: oracle.ContextFD, Mount: m, Context: &oracle.Context{Userns: m.FS.Userns,
			Phase: oracle.ReconfParams, FS: m.FS}})
	}
	return e
}

func (s *Sim) fsmount(a *actor, st *step.Step) Expect {
	fd := a.handle(st, step.KeyContext)
	e := s.decide(a, st, &oracle.Fsmount{FD: fd})
	if e.OK() && fd.Context != nil && fd.Context.FS != nil {
		fd.Context.Phase, fd.Context.Source = oracle.AwaitingReconf, false
		a.keep(st, oracle.FD{Kind: oracle.Path, Was: oracle.BPFFSRoot, BPFFS: fd.Context.FS,
			Holds: true, Mount: &oracle.Mount{FS: fd.Context.FS, Only: flag(st, step.KeyReadonly)}})
	}
	return e
}

func (s *Sim) moveMount(a *actor, st *step.Step) Expect {
	fd := a.handle(st, step.KeyMount)
	if fd.Mount != nil && fd.Mount.At != 0 && fd.Kind != oracle.TokenFD {
		return Expect{Verdict: oracle.Verdict{Rule: "the oracle covers only mounts that are not attached yet",
			ID: "move_mount/not-modelled"}}
	}
	e := s.decide(a, st, &oracle.MountCall{What: oracle.MoveMount, FD: fd})
	if e.OK() && fd.Mount != nil {
		at, _ := st.Num(step.KeyAt)
		s.attach(a, fd.Mount, at)
	}
	return e
}

func (s *Sim) mount(a *actor, st *step.Step) Expect {
	options := mountOptions(st)
	e := s.decide(a, st, &oracle.Mounting{Options: options})
	if e.OK() {
		x := &oracle.Context{Userns: a.cred.Userns, Root: newRoot(a.cred)}
		for _, o := range options {
			x.Apply(s.kernel, a.cred, o)
		}
		at, _ := st.Num(step.KeyAt)
		s.attach(a, &oracle.Mount{FS: x.Create()}, at)
	}
	return e
}

func (s *Sim) remount(a *actor, st *step.Step) Expect {
	on := s.mounted(a, st, step.KeyAt)
	e := s.decide(a, st, &oracle.Remounting{Options: mountOptions(st), On: on})
	if e.OK() && on != nil { // set_mount_attributes: without MS_RDONLY
		on.Only = false
	}
	return e
}

// flag reports whether a step has an argument that is not 0.
func flag(st *step.Step, k step.Key) bool {
	n, _ := st.Num(k)
	return n != 0
}

// where reports whether a mount is in the actor's mount namespace, or in that of another actor.
func (s *Sim) where(a *actor, m *oracle.Mount) (here, there bool) {
	for ns, places := range s.tables {
		for _, stack := range places {
			if slices.Contains(stack, m) {
				return ns == a.mounts, ns != a.mounts
			}
		}
	}
	return false, false
}

// detached reports whether a mount is detached, and not dissolved.
func (s *Sim) detached(m *oracle.Mount) bool {
	return m.At == 0 && slices.ContainsFunc(s.actors, func(a actor) bool {
		for _, fd := range a.fds {
			if fd.Holds && fd.Mount == m {
				return true
			}
		}
		return false
	})
}

func (s *Sim) mountAttr(a *actor, st *step.Step) Expect {
	req := &oracle.MountAttr{FD: a.handle(st, step.KeyMount), Only: flag(st, step.KeyReadonly)}
	if _, ok := st.Num(step.KeyIDMap); ok {
		req.IDMap = ptr(a.handle(st, step.KeyIDMap))
	}
	if req.FD.Mount != nil {
		req.Here, req.There = s.where(a, req.FD.Mount)
		req.Held = s.detached(req.FD.Mount)
	}
	e := s.decide(a, st, req)
	if e.OK() && req.FD.Mount != nil {
		req.FD.Mount.Only = req.Only
	}
	return e
}

// copyOf is a copy of the mount of a descriptor's file.
func (s *Sim) copyOf(a *actor, st *step.Step, what string) (Expect, *oracle.Mount) {
	req := &oracle.MountCall{What: what, Of: true, FD: a.handle(st, step.KeyHandle)}
	if req.FD.Mount != nil {
		req.Here, _ = s.where(a, req.FD.Mount)
		req.Held = s.detached(req.FD.Mount)
	}
	e := s.decide(a, st, req)
	if e.OK() && req.FD.Kind == oracle.TokenFD && !req.Here { // whose the detached mount is, is not followed
		return notModelled(what), nil
	}
	if e.OK() && req.FD.Kind == oracle.TokenFD { // a mount of the token's file, on kernels without a fix
		a.keep(st, oracle.FD{Kind: oracle.Path, Was: oracle.Object})
		return e, nil
	}
	root := req.FD.Kind == oracle.BPFFSRoot || req.FD.Kind == oracle.Path && req.FD.Was == oracle.BPFFSRoot
	if e.OK() && (req.FD.Mount == nil || !root || !req.Here) {
		return notModelled(what), nil
	}
	return e, req.FD.Mount
}

func (s *Sim) fileCall(a *actor, st *step.Step) Expect {
	do, _ := st.Num(step.KeyFileDo)
	return s.decide(a, st, &oracle.FileCall{FD: a.handle(st, step.KeyHandle), Do: oracle.FileDo(do)})
}

func (s *Sim) xattr(a *actor, st *step.Step) Expect {
	do, _ := st.Num(step.KeyXattrDo)
	name, _ := st.Num(step.KeyXattr)
	req := &oracle.Xattr{FD: a.handle(st, step.KeyHandle), Get: step.XattrDo(do) == step.XattrGet,
		Name: oracle.XattrName(name)}
	if step.XattrDo(do) == step.XattrFill {
		req.More, req.Size = step.XattrFillMax, step.XattrFillSize
	}
	e := s.decide(a, st, req)
	if e.Verdict.Known {
		req.Apply(&e.Verdict)
	}
	return e
}

func (s *Sim) fileMax(_ *actor, st *step.Step) Expect {
	s.noFiles = flag(st, step.KeyValue)
	return harnessStep(st.Op)
}

func (s *Sim) procFdinfo(a *actor, st *step.Step) Expect {
	from, _ := st.Num(step.KeyFrom)
	fd := s.actors[from].handle(st, step.KeyHandle)
	e := s.decide(a, st, &oracle.Take{What: oracle.ProcFdinfo, FD: fd, Victim: s.leader(from), Own: a == &s.actors[from]})
	if !e.OK() {
		return e
	}
	if fd.Kind != oracle.TokenFD {
		return notModelled("fdinfo")
	}
	e.Values = s.kernel.Shown(fd.Token.Allowed)
	return e
}

// notModelled is the answer if nothing that the rules model is mounted there.
func notModelled(what string) Expect {
	return Expect{Verdict: oracle.Verdict{Rule: "the oracle covers only mounts of a bpffs", ID: what + "/not-modelled"}}
}

func (s *Sim) bind(a *actor, st *step.Step) Expect {
	from := s.mounted(a, st, step.KeyShown)
	var e Expect
	if _, ok := st.Num(step.KeyHandle); ok {
		e, from = s.copyOf(a, st, oracle.Bind)
	} else {
		e = s.decide(a, st, &oracle.MountCall{What: oracle.Bind, On: from})
	}
	if e.OK() && from == nil {
		return notModelled(oracle.Bind)
	}
	if e.OK() {
		at, _ := st.Num(step.KeyAt)
		_, only := st.Num(step.KeyReadonly)
		s.attach(a, &oracle.Mount{FS: from.FS, Peers: from.Peers, Only: only || from.Only}, at)
	}
	return e
}

func (s *Sim) cloneMount(a *actor, st *step.Step) Expect {
	from := s.mounted(a, st, step.KeyAt)
	var e Expect
	if _, ok := st.Num(step.KeyHandle); ok {
		e, from = s.copyOf(a, st, oracle.CloneMount)
	} else {
		e = s.decide(a, st, &oracle.MountCall{What: oracle.CloneMount, On: from})
	}
	fd := a.handle(st, step.KeyHandle)
	if e.OK() && from == nil && fd.Kind != oracle.TokenFD {
		return notModelled(oracle.CloneMount)
	}
	if e.OK() && from != nil {
		a.keep(st, oracle.FD{Kind: oracle.Path, Was: oracle.BPFFSRoot, BPFFS: from.FS,
			Holds: true, Mount: &oracle.Mount{FS: from.FS, Peers: from.Peers, Only: from.Only}})
	}
	return e
}

func (s *Sim) open(a *actor, st *step.Step) Expect {
	how, _ := st.Num(step.KeyHow)
	req := &oracle.Open{FD: a.handle(st, step.KeyHandle), Name: text(st, step.KeyPath),
		Path: step.How(how) == step.HowPath}
	if _, req.Place = st.Num(step.KeyAt); req.Place {
		req.FD = oracle.FD{Kind: oracle.Dir}
		if m := s.mounted(a, st, step.KeyAt); m != nil {
			req.FD = oracle.FD{Kind: oracle.BPFFSRoot, BPFFS: m.FS, Mount: m}
		}
	}
	e := s.decide(a, st, req)
	if !e.OK() {
		return e
	}
	a.keep(st, req.Opens(s.callerOf(a, st)))
	return e
}

func text(st *step.Step, k step.Key) string {
	for _, arg := range st.Args {
		if arg.Key == k {
			return arg.Str
		}
	}
	return ""
}

func (s *Sim) makeName(a *actor, st *step.Step) Expect {
	what := st.Op.String()
	req := &oracle.MakeName{What: what, FD: a.handle(st, step.KeyHandle), In: a.handle(st, step.KeyIn), Name: text(st,
		step.KeyPath)}
	e := s.decide(a, st, req)
	if !e.OK() {
		return e
	}
	if in, name := req.Target(s.callerOf(a, st)); in != nil && st.Op == step.OpPin {
		in.Pin(name, req.FD, s.callerOf(a, st).Euid)
		s.pinned(req.FD.Link)
	} else if in != nil && st.Op == step.OpSymlink {
		in.Symlink(name, s.callerOf(a, st).Euid)
	} else if in != nil {
		in.Mkdir(name, s.callerOf(a, st).Euid)
	}
	return e
}

func (s *Sim) chmod(a *actor, st *step.Step) Expect {
	mode, err := strconv.ParseUint(text(st, step.KeyMode), 8, 32)
	if err != nil {
		return notModelled("chmod")
	}
	req := &oracle.Chmod{FD: a.handle(st, step.KeyHandle), Name: text(st, step.KeyPath), Mode: uint32(mode)}
	e := s.decide(a, st, req)
	if e.OK() {
		req.Apply()
	}
	return e
}

// stat expects the result of fstat(2): ids as the caller's user namespace maps
// them, and the overflow id for an id that it does not map.
func (s *Sim) stat(a *actor, st *step.Step) Expect {
	i, known := a.handle(st, step.KeyHandle).Stat()
	if !known {
		return notModelled("stat")
	}
	e := harnessStep(st.Op)
	e.Text = fmt.Sprintf("mode=%o uid=%d gid=%d", i.Mode, a.cred.Userns.Shows(i.UID),
		a.cred.Userns.Shows(i.GID))
	return e
}

func (s *Sim) mountinfo(a *actor, st *step.Step) Expect {
	m := s.mounted(a, st, step.KeyAt)
	if m == nil {
		return notModelled("mountinfo")
	}
	shown, known := s.kernel.ShownOptions(m.FS)
	if !known {
		return Expect{Verdict: oracle.Verdict{Rule: "the oracle covers only masks whose bits have names in its tables",
			ID: "mountinfo/not-modelled"}}
	}
	if by := flag(st, step.KeyBy); by && s.facts.Version().Less(uapi.Release{Major: 6, Minor: 11}) {
		return notModelled("statmount") // STATMOUNT_MNT_OPTS
	}
	e := harnessStep(st.Op)
	if e.Text = shown; flag(st, step.KeyBy) { // statmount_mnt_opts has those of the file system alone
		e.Text = strings.TrimPrefix(strings.TrimPrefix(shown, "rw"), ",")
	}
	return e
}

func (s *Sim) fdinfo(a *actor, st *step.Step) Expect {
	fd := a.handle(st, step.KeyHandle)
	if fd.Kind != oracle.TokenFD {
		return notModelled("fdinfo")
	}
	e := harnessStep(st.Op)
	e.Verdict.Func = "bpf_token_show_fdinfo"
	e.Values = s.kernel.Shown(fd.Token.Allowed)
	return e
}

// bpffs plays the delegation: the actor opens, the broker configures and
// creates, the actor mounts.
func (s *Sim) bpffs(a *actor, st *step.Step) Expect {
	broker := oracle.Cred{Userns: oracle.Initial, Caps: uapi.AllCaps}
	opener := a.cred // the actor's first thread
	opener.Caps = uapi.AllCaps
	if opener.Userns != oracle.Initial {
		opener.Euid, _ = opener.Userns.Kuid(0)
	}
	x := &oracle.Context{Userns: a.cred.Userns, Root: newRoot(opener)}
	d := oracle.Delegate{Opener: opener, Setter: broker}
	for _, o := range mountOptions(st) {
		d.Options = append(d.Options, o.Option)
	}
	v, _ := d.Decide(s.kernel)
	e := Expect{Verdict: v}
	if !e.OK() {
		return e
	}
	for _, o := range mountOptions(st) {
		x.Apply(s.kernel, broker, o)
	}
	m := &oracle.Mount{FS: x.Create()}
	if at, ok := st.Num(step.KeyAt); ok {
		s.attach(a, m, at)
	}
	a.keep(st, oracle.FD{Kind: oracle.BPFFSRoot, BPFFS: m.FS, Mount: m})
	return e
}

// copyMounts gives a fork of the simulation file systems, contexts and mounts
// of its own.
func (s *Sim) copyMounts() {
	c := copier{map[*oracle.BPFFS]*oracle.BPFFS{}, map[*oracle.Mount]*oracle.Mount{},
		map[*oracle.Context]*oracle.Context{}, map[*oracle.Node]*oracle.Node{}, map[*oracle.Content]*oracle.Content{},
		map[*oracle.Inode]*oracle.Inode{}}
	tables := map[int]map[uint64][]*oracle.Mount{}
	for ns, places := range s.tables {
		tables[ns] = map[uint64][]*oracle.Mount{}
		for at, all := range places {
			for _, m := range all {
				tables[ns][at] = append(tables[ns][at], c.mount(m))
			}
		}
	}
	s.tables = tables
	for i := range s.actors {
		for h, fd := range s.actors[i].fds {
			s.actors[i].fds[h] = c.fd(fd)
		}
	}
}

type copier struct {
	fses     map[*oracle.BPFFS]*oracle.BPFFS
	mounts   map[*oracle.Mount]*oracle.Mount
	contexts map[*oracle.Context]*oracle.Context
	nodes    map[*oracle.Node]*oracle.Node
	contents map[*oracle.Content]*oracle.Content
	inodes   map[*oracle.Inode]*oracle.Inode
}

func (c *copier) fd(fd oracle.FD) oracle.FD {
	fd.BPFFS, fd.Mount, fd.Context = c.fs(fd.BPFFS), c.mount(fd.Mount), c.context(fd.Context)
	if fd.Content != nil && c.contents[fd.Content] == nil {
		n := *fd.Content
		c.contents[fd.Content] = &n
	}
	fd.Content = c.contents[fd.Content]
	if fd.Inode != nil && c.inodes[fd.Inode] == nil {
		n := *fd.Inode
		c.inodes[fd.Inode] = &n
	}
	fd.Inode = c.inodes[fd.Inode]
	if fd.Node != nil {
		fd.Node = c.nodes[fd.Node]
	}
	return fd
}

func (c *copier) fs(b *oracle.BPFFS) *oracle.BPFFS {
	if b != nil && c.fses[b] == nil {
		n := *b
		c.fses[b] = &n
		c.tree(&b.Root, &n.Root)
	}
	return c.fses[b]
}

// tree copies the files below a directory.
func (c *copier) tree(from, to *oracle.Node) {
	c.nodes[from] = to
	if from.Object != nil {
		fd := c.fd(*from.Object)
		to.Object = &fd
	}
	to.Names = make(map[string]*oracle.Node, len(from.Names))
	for name, child := range from.Names {
		n := *child
		n.Parent, to.Names[name] = to, &n
		c.tree(child, &n)
	}
}

func (c *copier) mount(m *oracle.Mount) *oracle.Mount {
	if m != nil && c.mounts[m] == nil {
		n := *m
		n.FS = c.fs(m.FS)
		c.mounts[m] = &n
	}
	return c.mounts[m]
}

func (c *copier) context(x *oracle.Context) *oracle.Context {
	if x != nil && c.contexts[x] == nil {
		n := *x
		n.FS = c.fs(x.FS)
		c.contexts[x] = &n
	}
	return c.contexts[x]
}

// needsMountsCopied reports whether there is any mount state that a fork could change.
func (s *Sim) needsMountsCopied() bool {
	return slices.ContainsFunc(s.actors, func(a actor) bool {
		for _, fd := range a.fds {
			if fd.BPFFS != nil || fd.Context != nil || fd.Mount != nil || fd.Content != nil {
				return true
			}
		}
		return false
	}) || len(s.tables) > 0
}
