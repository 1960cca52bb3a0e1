package draw

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tokentest/cases/oracle"
	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

func newDrawer(seed, world uint64) *drawer { return &drawer{Rand: rand.New(rand.NewPCG(seed, world))} }

// eachDrawn calls f with the drawer of each of the first worlds of a seed.
func eachDrawn(worlds uint64, f func(world uint64, d *drawer)) {
	for i := range worlds {
		d := newDrawer(11, i)
		d.draw()
		f(i, d)
	}
}

// An operation without weight is never drawn, and twice the weight is drawn about twice as often.
func TestDrawOpWeights(t *testing.T) {
	d := newDrawer(1, 1)
	seen := map[int]int{}
	weight := func(w step.Drawn) int { return w.Cell }
	total, sum := 20000, 0
	for range total {
		seen[d.drawOp(weight).Row().Drawn.Cell]++
	}
	ops := map[int]int{} // how many operations have a weight
	for o := range step.Ops {
		ops[o.Row().Drawn.Cell]++
		sum += o.Row().Drawn.Cell
	}
	if seen[0] != 0 {
		t.Errorf("operations without weight are drawn %d times", seen[0])
	}
	for w, n := range ops {
		if want := total * w * n / sum; seen[w] < want*8/10 || seen[w] > want*12/10+30 {
			t.Errorf("operations with weight %d are drawn %d times, want about %d", w, seen[w], want)
		}
	}
}

// Each kind of actor has the words of its kind, and only a child has to be forked.
func TestDrawActor(t *testing.T) {
	for kind, tt := range []struct {
		line         string
		init, absent bool
	}{
		{"actor x userns", false, false}, {"actor x userns", false, false}, {"actor x userns in a0", false, false},
		{"actor x joins a0", false, false}, {"actor x joins a0", false, false}, {"actor x init", true, false},
		{"actor x child a0", false, true},
	} {
		for world := range uint64(50) {
			d := newDrawer(2, world)
			d.actors = []drawnActor{{name: "a0"}, {name: "outside", init: true}, {name: "child", parent: "a0"}}
			a := d.drawActor("x", kind)
			if !strings.HasPrefix(a.line, tt.line) || a.init != tt.init || a.absent != tt.absent {
				t.Errorf("kind %d: %+v, want %+v", kind, a, tt)
			}
			if (a.parent != "") != tt.absent {
				t.Errorf("kind %d: absent %t, and its parent is %q", kind, a.absent, a.parent)
			}
		}
	}
}

// A child does nothing before its fork, no actor does anything after its exit, and a
// descriptor is made once and before it is used in a set-up.
func TestDrawnOrder(t *testing.T) {
	forks, exits := 0, 0
	eachDrawn(300, func(world uint64, d *drawer) {
		absent, made := map[string]bool{}, map[string]bool{}
		for _, a := range d.actors {
			absent[a.name] = a.parent != ""
		}
		for _, line := range slices.Concat(d.steps, d.values) {
			words := strings.Fields(line)
			if absent[words[0]] {
				t.Errorf("world %d: %s is absent in %q", world, words[0], line)
			}
			switch words[1] {
			case "fork":
				forks++
				absent[words[2]] = false
			case "exit":
				exits++
				absent[words[0]] = true
			}
			if at := slices.Index(words, "->"); at >= 0 {
				if made[words[at+1]] {
					t.Errorf("world %d: %q makes a descriptor for the second time", world, line)
				}
				made[words[at+1]] = true
			}
			for _, h := range d.all() {
				if !made[h] && (slices.Contains(words, h) || strings.Contains(line, "="+h+" ")) {
					t.Errorf("world %d: %q uses %s, which no step has made yet", world, line, h)
				}
			}
		}
	})
	if forks == 0 || exits == 0 {
		t.Errorf("%d forks and %d exits are drawn", forks, exits)
	}
}

// A step with another actor never names the actor itself.
func TestOther(t *testing.T) {
	eachDrawn(50, func(world uint64, d *drawer) {
		for _, a := range d.actors {
			if got := d.other(a.name); got == a.name || d.isAbsent(got) {
				t.Errorf("world %d: the other actor beside %s is %s", world, a.name, got)
			}
		}
	})
}

// A call has each argument once, also with overrides.
func TestOverridesDoNotRepeat(t *testing.T) {
	for _, tt := range []struct {
		call, more string
		want       bool
	}{
		{"map_create type=hash flags=1", "flags=4 numa=1000", true},
		{"map_create type=hash", "flags=4 numa=1000", false},
		{"map_create type=hash btf_value=1", "value=4", false},
		{"prog_load type=xdp", "type=kprobe", true},
	} {
		if got := repeats(tt.call, tt.more); got != tt.want {
			t.Errorf("%q and %q have an argument in common: %t, want %t", tt.call, tt.more, got, tt.want)
		}
	}
	eachDrawn(100, func(world uint64, d *drawer) {
		for _, call := range d.values {
			seen := map[string]bool{}
			for _, w := range strings.Fields(call)[2:] {
				key, _, _ := strings.Cut(w, "=")
				if seen[key] {
					t.Errorf("world %d: %s is twice in %q", world, key, call)
				}
				seen[key] = true
			}
		}
	})
}

// A drawn capability set can be read, and a condition of a hook is one that the hook can ask for.
func TestCapsAndHooks(t *testing.T) {
	hooks := 0
	eachDrawn(300, func(world uint64, d *drawer) {
		if c := d.caps(); c != "all" {
			if _, err := uapi.ParseCaps(c); err != nil {
				t.Errorf("world %d: capabilities %s: %v", world, c, err)
			}
		}
		line := d.hook() + " "
		_, name, _ := strings.Cut(line, " hook=")
		name, _, _ = strings.Cut(name, " ")
		at := step.ArgsOf(uapi.Hook(slices.Index(uapi.Hooks, name)))
		for key, place := range map[string]int{"cmd": at.Cmd, "cap": at.Cap, "token": at.Token, "maps": at.Token} {
			if has := strings.Contains(line, " "+key+"="); has && place < 0 {
				t.Errorf("world %d: hook %s has no argument for %s: %q", world, name, key, line)
			} else if has {
				hooks++
			}
		}
	})
	if hooks == 0 {
		t.Error("no hook has a condition")
	}
}

// Name returns a member of a mask's enumeration that has a bit in the mask.
func TestMaskNames(t *testing.T) {
	d := newDrawer(4, 4)
	for _, o := range oracle.DelegateOptions {
		for range 200 {
			name := strings.ToLower(d.name(o.Enum))
			i := slices.IndexFunc(o.Enum.Members, func(m uapi.Member) bool { return strings.EqualFold(m.Name, name) })
			if i < 0 || o.Enum.Members[i].Value >= 64 {
				t.Errorf("%s: %s is no member with a bit below 64", o.Name, name)
			}
		}
	}
}

// A copy of a token is a token for later steps; a copy of anything else is another descriptor.
func TestAlike(t *testing.T) {
	d := &drawer{tokens: []string{"t0"}, others: []string{"o0"}}
	d.alike("t0", "d1")
	d.alike("o0", "d2")
	d.alike("b0", "d3")
	if !slices.Equal(d.tokens, []string{"t0", "d1"}) || !slices.Equal(d.others, []string{"o0", "d2", "d3"}) {
		t.Errorf("tokens %q, others %q", d.tokens, d.others)
	}
}
