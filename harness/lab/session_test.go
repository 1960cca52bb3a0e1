package lab

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"tokentest/cases"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
	"tokentest/harness/kernel"
	"tokentest/harness/plan"
	"tokentest/harness/result"
	"tokentest/harness/splat"
	"tokentest/harness/vm"
	"tokentest/harness/wire"
	"tokentest/images"
)

// fakeRelease is the release of the kernel of a newSession.
const fakeRelease = "6.12.0"

// newSession is a session without a machine, for the cases of a pattern. Its port keeps
// what is sent.
func newSession(t *testing.T, pattern string) (s *session, todo []*cases.Case) {
	t.Helper()
	todo = plan.ByWorld(newPlan(t, 0, pattern).Cases)
	tr := &trial{
		lab: &Lab{}, deadlines: usualDeadlines, out: &result.KernelRun{}, results: newResults(todo), total: len(todo),
		kernel: &kernel.Kernel{Release: fakeRelease}, image: &images.Image{BuildID: "id"},
	}
	return &session{trial: tr, m: &vm.Machine{}, replayed: true, stop: func(error) {}, port: &bytes.Buffer{}}, todo
}

// helloOf is the payload of a hello.
func helloOf(t *testing.T, id, release string) []byte {
	t.Helper()
	v, err := uapi.ParseRelease(fakeRelease)
	if err != nil {
		t.Fatal(err)
	}
	h := wire.Hello{BuildID: id, Facts: *cases.FactsAt(v)}
	h.Facts.Release = release
	return encode(t, h)
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	payload, err := wire.EncodeJSON(v)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

// setupOf is the answer to the set-up of a world, of as many steps as it has.
func setupOf(w *cases.World) []byte {
	seen := make([]step.Observation, len(w.Program.Setup))
	return wire.EncodeResults(&wire.Results{Cells: [][]step.Observation{seen}})
}

// answerOf is the answer to a batch.
func answerOf(b plan.Batch) []byte {
	r := &wire.Results{First: b.First}
	for _, c := range b.Cases {
		r.Cells = append(r.Cells, make([]step.Observation, c.Len()))
	}
	return wire.EncodeResults(r)
}

// said is a record that a guest sends.
type said struct {
	kind    wire.Kind
	payload []byte
}

// conversation is what a good guest sends to a session of one world and one batch.
func conversation(t *testing.T, todo []*cases.Case) []said {
	t.Helper()
	b := plan.Batches(todo, 0)
	if len(b) != 1 {
		t.Fatalf("%d batches, want 1", len(b))
	}
	return []said{
		{wire.KindHello, helloOf(t, "id", fakeRelease)},
		{wire.KindStage, nil},
		{wire.KindSetup, setupOf(b[0].World)},
		{wire.KindBegin, wire.EncodeRange(wire.Range{First: b[0].First, Count: uint32(len(b[0].Cases))})},
		{wire.KindEnd, answerOf(b[0])},
		{wire.KindDone, encode(t, wire.Done{})},
	}
}

// TestConversation: a guest that keeps the order gets a result for each case.
func TestConversation(t *testing.T) {
	s, todo := newSession(t, "nested_userns")
	for i, r := range conversation(t, todo) {
		if err := s.record(r.kind, r.payload, todo, 0); err != nil {
			t.Fatalf("record %d, %s: %v", i, r.kind, err)
		}
	}
	if s.done != len(todo) || s.trial.results.done != len(todo) || s.setups != 1 || s.setupsSeen != 1 || s.inBatch {
		t.Errorf("%d cases, %d results, %d of %d set-ups", s.done, s.trial.results.done, s.setups, s.setupsSeen)
	}
	if len(s.marks) != 0 {
		t.Errorf("a stored boot has marks at %v: its times are unknown", s.marks)
	}
	if k := s.trial.out; k.Release != fakeRelease || k.Facts == nil || len(k.Worlds) != 1 {
		t.Errorf("the record has release %q, facts %v, %d worlds", k.Release, k.Facts, len(k.Worlds))
	}
	sent := wire.NewReader(s.port.(io.Reader))
	for i, want := range []wire.Kind{wire.KindWorld, wire.KindCells, wire.KindBye} {
		if kind, _, err := sent.Read(); kind != want || err != nil {
			t.Errorf("record %d that was sent is %s, %v; want %s", i, kind, err, want)
		}
	}
}

// TestDisorder: a record that is out of order or does not fit ends the session, and none
// of its cases has a result.
func TestDisorder(t *testing.T) {
	const corrupt = "corrupt record: "
	for _, tt := range []struct {
		name string
		keep int // records of a good conversation before it
		bad  func(t *testing.T, todo []*cases.Case) said
		want string
	}{
		{"no hello", 0, func(t *testing.T, _ []*cases.Case) said { return said{wire.KindStage, nil} },
			corrupt + "an unexpected stage record"},
		{"a second hello", 1, func(t *testing.T, _ []*cases.Case) said {
			return said{wire.KindHello, helloOf(t, "id", fakeRelease)}
		}, corrupt + "an unexpected hello record"},
		{"another image", 0, func(t *testing.T, _ []*cases.Case) said {
			return said{wire.KindHello, helloOf(t, "other", fakeRelease)}
		}, "the guest's build id is other, the image's is id"},
		{"another kernel", 0, func(t *testing.T, _ []*cases.Case) said {
			return said{wire.KindHello, helloOf(t, "id", "6.13.0")}
		}, "the guest runs kernel 6.13.0, the image is of 6.12.0"},
		{"a hello that is no JSON", 0, func(t *testing.T, _ []*cases.Case) said { return said{wire.KindHello, []byte("{")} },
			corrupt},
		{"a set-up before its stage", 1, func(_ *testing.T, todo []*cases.Case) said {
			return said{wire.KindSetup, setupOf(todo[0].World)}
		}, corrupt + "a setup record for no world"},
		{"a second stage", 2, func(*testing.T, []*cases.Case) said { return said{wire.KindStage, nil} },
			corrupt + "a stage record for no world"},
		{"a stage after the last world", 3, func(*testing.T, []*cases.Case) said { return said{wire.KindStage, nil} },
			corrupt + "a stage record for no world"},
		{"two set-ups in one record", 2, func(*testing.T, []*cases.Case) said {
			return said{wire.KindSetup, wire.EncodeResults(&wire.Results{Cells: make([][]step.Observation, 2)})}
		}, corrupt + "a setup record for no world"},
		{"cells before they are next", 3, func(*testing.T, []*cases.Case) said {
			return said{wire.KindBegin, wire.EncodeRange(wire.Range{First: 1, Count: 1})}
		}, corrupt + "the guest started 1 cases from 1 on out of order"},
		{"too many cells", 3, func(*testing.T, []*cases.Case) said {
			return said{wire.KindBegin, wire.EncodeRange(wire.Range{First: 0, Count: 2})}
		}, corrupt + "the guest started 2 cases from 0 on out of order"},
		{"cells that have started", 4, func(*testing.T, []*cases.Case) said {
			return said{wire.KindBegin, wire.EncodeRange(wire.Range{First: 0, Count: 1})}
		}, corrupt + "the guest started 1 cases from 0 on out of order"},
		{"an answer to no question", 3, func(_ *testing.T, todo []*cases.Case) said {
			return said{wire.KindEnd, answerOf(plan.Batches(todo, 0)[0])}
		}, corrupt + "the guest answered 1 cases from 0 on that it had not started"},
		{"an answer too few", 4, func(*testing.T, []*cases.Case) said {
			return said{wire.KindEnd, wire.EncodeResults(&wire.Results{})}
		}, corrupt + "the guest answered 0 cases from 0 on that it had not started"},
		{"done before the answers", 4, func(t *testing.T, _ []*cases.Case) said {
			return said{wire.KindDone, encode(t, wire.Done{})}
		}, corrupt + "done after 0 of 1 batches"},
		{"a fault before its cells", 3, func(t *testing.T, _ []*cases.Case) said {
			return said{wire.KindFault, encode(t, wire.Fault{Count: 1, Reason: "x"})}
		}, corrupt + "a fault record for cases that had not started"},
		{"a fault of the whole machine", 3, func(t *testing.T, _ []*cases.Case) said {
			return said{wire.KindFault, encode(t, wire.Fault{Reason: "no memory"})}
		}, "the guest gave up: no memory"},
		{"a record of the host", 1, func(*testing.T, []*cases.Case) said { return said{wire.KindWorld, nil} },
			corrupt + "a guest does not send a world record"},
		{"costs that nobody asked for", 1, func(*testing.T, []*cases.Case) said { return said{wire.KindCosts, []byte("{}")} },
			corrupt + "a guest does not send a costs record"},
	} {
		s, todo := newSession(t, "nested_userns")
		for _, r := range conversation(t, todo)[:tt.keep] {
			if err := s.record(r.kind, r.payload, todo, 0); err != nil {
				t.Fatalf("%s: %s: %v", tt.name, r.kind, err)
			}
		}
		bad := tt.bad(t, todo)
		err := s.record(bad.kind, bad.payload, todo, 0)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
		if s.done != 0 || s.trial.results.done != 0 {
			t.Errorf("%s: %d cases have a result", tt.name, s.done)
		}
	}
}

// TestFaults: what the agent cannot do breaks its cases, and the session continues.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		keep   int
		fault  wire.Fault
		reason string
	}{
		{"in the set-up", 2, wire.Fault{Reason: "no user namespace"}, "no user namespace"},
		{"in a batch", 4, wire.Fault{Count: 1, Reason: "actor owner: it is gone"}, "actor owner: it is gone"},
	} {
		s, todo := newSession(t, "nested_userns")
		all := conversation(t, todo)
		for _, r := range all[:tt.keep] {
			if err := s.record(r.kind, r.payload, todo, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.record(wire.KindFault, encode(t, tt.fault), todo, 0); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		rest := all[5:]
		if tt.keep == 2 {
			rest = all[3:]
		}
		for _, r := range rest {
			if err := s.record(r.kind, r.payload, todo, 0); err != nil {
				t.Fatalf("%s: %s: %v", tt.name, r.kind, err)
			}
		}
		r := s.trial.results.of(todo[0])
		if r == nil || r.Status != result.Broken || !strings.Contains(r.Reason, tt.reason) {
			t.Errorf("%s: got %+v, want broken for %q", tt.name, r, tt.reason)
		}
	}
}

// TestReceive: nothing after a damaged record counts, and nothing after done.
func TestReceive(t *testing.T) {
	stream := func(list []said) []byte {
		var b bytes.Buffer
		w := wire.NewWriter(&b)
		for _, r := range list {
			if err := w.Write(r.kind, r.payload); err != nil {
				t.Fatal(err)
			}
		}
		return b.Bytes()
	}
	_, todo := newSession(t, "nested_userns")
	all := conversation(t, todo)
	whole := stream(all)
	damaged := bytes.Clone(whole)
	damaged[len(stream(all[:4]))+20] ^= 1
	for _, tt := range []struct {
		name  string
		bytes []byte
		done  int
		wrong bool
	}{
		{"all", whole, 1, false},
		{"a damaged answer", damaged, 0, true},
		{"cut off in the answer", whole[:len(stream(all[:4]))+5], 0, true},
		{"cut off between records", stream(all[:4]), 0, false},
		{"a record after done", stream(append(all[:6:6], all[5])), 1, false},
		{"nothing", nil, 0, false},
	} {
		s, todo := newSession(t, "nested_userns")
		stopped := false
		s.stop = func(error) { stopped = true }
		s.port = struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(tt.bytes), io.Discard}
		s.receive(todo, 0)
		if s.done != tt.done || (s.wrong != nil) != tt.wrong || stopped != tt.wrong {
			t.Errorf("%s: %d cases, wrong %v, stopped %v; want %d, %v", tt.name, s.done, s.wrong, stopped, tt.done, tt.wrong)
		}
		if tt.wrong && !errors.Is(s.wrong, wire.ErrCorrupt) {
			t.Errorf("%s: got %v, want a corrupt record", tt.name, s.wrong)
		}
	}
}

// TestEnd: the machine's death is attributed to the set-up or to the cases that ran.
func TestEnd(t *testing.T) {
	for _, tt := range []struct {
		name   string
		keep   int // records of the conversation before the death
		exit   vm.Exit
		blame  string
		status result.Status
	}{
		{"before the set-up", 1, vm.Exit{Fate: vm.Panicked, Reason: "x"}, "", ""},
		{"in the set-up", 2, vm.Exit{Fate: vm.Panicked, Reason: "x"}, "the set-up of nested_userns", result.Broken},
		{"between", 3, vm.Exit{Fate: vm.Panicked, Reason: "x"}, "", ""},
		{"under the case", 4, vm.Exit{Fate: vm.Hung, Reason: "x"}, "nested_userns", result.Broken},
		{"on a starved host", 4, vm.Exit{Fate: vm.Infra, Host: &splat.Share{}}, "", ""},
		{"without a QEMU", 0, vm.Exit{Fate: vm.Infra}, "", ""},
		{"a splat is no death", 4, vm.Exit{Fate: vm.Tainted}, "", ""},
	} {
		s, todo := newSession(t, "nested_userns")
		for _, r := range conversation(t, todo)[:tt.keep] {
			if err := s.record(r.kind, r.payload, todo, 0); err != nil {
				t.Fatal(err)
			}
		}
		out := s.end(tt.exit, "run/boot0")
		var status result.Status
		if r := s.trial.results.of(todo[0]); r != nil {
			status = r.Status
		}
		b := s.trial.out.Boots[0]
		if b.Blame != tt.blame || status != tt.status || b.Fate != tt.exit.Fate || len(out.culprits) != 0 {
			t.Errorf("%s: blame %q, status %q, %+v", tt.name, b.Blame, status, b)
		}
	}
}

// TestEndInterrupted: a machine that ends with the run is nobody's fault.
func TestEndInterrupted(t *testing.T) {
	s, todo := newSession(t, "nested_userns")
	for _, r := range conversation(t, todo)[:4] {
		if err := s.record(r.kind, r.payload, todo, 0); err != nil {
			t.Fatal(err)
		}
	}
	s.interrupted = func() bool { return true }
	s.end(vm.Exit{Fate: vm.Lost, Reason: "stopped by the caller"}, "run/boot0")
	if b := s.trial.out.Boots[0]; b.Blame != "" || s.trial.results.done != 0 {
		t.Errorf("blame %q, %d results", b.Blame, s.trial.results.done)
	}
}

// TestEndCulprits: of several cases that ran, each could have killed the machine.
func TestEndCulprits(t *testing.T) {
	s, todo := newSession(t, "token_create/any")
	if err := s.record(wire.KindHello, helloOf(t, "id", fakeRelease), todo, 64); err != nil {
		t.Fatal(err)
	}
	b := s.batches[0]
	for _, r := range []said{
		{wire.KindStage, nil}, {wire.KindSetup, setupOf(b.World)},
		{wire.KindBegin, wire.EncodeRange(wire.Range{First: b.First, Count: uint32(len(b.Cases))})},
	} {
		if err := s.record(r.kind, r.payload, todo, 0); err != nil {
			t.Fatal(err)
		}
	}
	out := s.end(vm.Exit{Fate: vm.Panicked, Reason: "x"}, "run/boot0")
	if len(out.culprits) != len(b.Cases) || len(b.Cases) < 2 || s.trial.out.Boots[0].Blame != "" {
		t.Errorf("%d culprits of %d cases, blame %q", len(out.culprits), len(b.Cases), s.trial.out.Boots[0].Blame)
	}
	if want := "x (under one of "; !strings.HasPrefix(s.trial.out.Boots[0].Reason, want) {
		t.Errorf("got the reason %q, want %q", s.trial.out.Boots[0].Reason, want)
	}
}

// TestAttribute: a finding belongs to the mark before it in the log, else to the last one
// of the control channel; one that is noticed at the end belongs to the marks that it names.
func TestAttribute(t *testing.T) {
	s, todo := newSession(t, "nested_userns")
	for _, r := range conversation(t, todo)[:1] {
		if err := s.record(r.kind, r.payload, todo, 0); err != nil {
			t.Fatal(err)
		}
	}
	setup, cells := wire.Mark{Kind: wire.MarkSetup}, wire.Mark{Kind: wire.MarkCells, Count: 1}
	s.marks = []timedMark{{10, setup}, {20, cells}}
	const ofSetup, ofCase = "the set-up of nested_userns", "nested_userns"
	for _, tt := range []struct {
		name string
		f    splat.Finding
		want string
	}{
		{"a mark in the log", splat.Finding{Mark: "set-up 0", Time: 30}, ofSetup},
		{"cells in the log", splat.Finding{Mark: "cells 0 1", Time: 5}, ofCase},
		{"a mark of no cells", splat.Finding{Mark: "cells 7 1", Time: 30}, ""},
		{"a mark of no world", splat.Finding{Mark: "set-up 7", Time: 30}, ""},
		{"a line that is no mark", splat.Finding{Mark: "words", Time: 30}, ""},
		{"a program", splat.Finding{Mark: "exec", Time: 30}, ""},
		{"before the first mark", splat.Finding{Time: 5}, ""},
		{"after the set-up's", splat.Finding{Time: 10}, ofSetup},
		{"after the cells'", splat.Finding{Time: 25}, ofCase},
		{"at the end", splat.Finding{Offset: -1, Time: 30}, ""},
		{"a leak", splat.Finding{Offset: -1, Under: []string{"set-up 0", "cells 0 1", "rubbish"}}, ofSetup + " or " + ofCase},
		{"of a stored boot", splat.Finding{Case: "x", Mark: "set-up 0"}, "x"},
	} {
		list := []splat.Finding{tt.f}
		s.attribute(list)
		if list[0].Case != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, list[0].Case, tt.want)
		}
	}
	if got := s.running(&splat.Finding{Mark: "set-up 0"}); len(got) != len(s.worlds[0].Cases) {
		t.Errorf("%d cases run in a set-up, want all %d that need it", len(got), len(s.worlds[0].Cases))
	}
}
