package step

import (
	"fmt"
	"slices"
	"testing"
)

// checkRow says what is wrong with a row of the table of operations.
func checkRow(r *Operation) []string {
	var out []string
	bad := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if r.Name == "" || r.Doc == "" {
		bad("it has no name or no doc")
	}
	if r.Who < ByWorker || r.Who > ByBoth {
		bad("nobody does it")
	}
	if r.Shows > ShowsErrnos {
		bad("it shows %d", r.Shows)
	}
	d := r.Drawn
	if drawn := d.Setup > 0 || d.Cell > 0 || d.Along; drawn == (d.Never != "") {
		bad("it is drawn, %v, and is not, for %q", drawn, d.Never)
	}
	for i, p := range r.Params {
		switch {
		case p.Key == 0 || p.Key >= Keys || p.Key.Inner():
			bad("argument %s: a case file cannot spell the key %d", p.Name, p.Key)
		case p.Kind == 0 || p.Kind >= Kinds:
			bad("argument %s: the kind %d", p.Name, p.Kind)
		case p.Name == "" || p.Doc == "":
			bad("an argument has no name or no doc: %+v", p)
		case r.Named(p.Name) != &r.Params[i] || r.Of(p.Key) != &r.Params[i]:
			bad("argument %s or its key is there twice", p.Name)
		case p.Key.MountOption() != "" && p.Kind == KindNum:
			bad("argument %s: the kernel gets a mount option as it stands", p.Name)
		}
	}
	if n := len(r.Used(OneOf)); n == 1 {
		bad("one argument alone is one of several")
	}
	return out
}

// Every operation has a whole row, and a name of its own.
func TestOperations(t *testing.T) {
	for o := Op(1); o < Ops; o++ {
		for _, why := range checkRow(o.Row()) {
			t.Errorf("operation %d, %s: %s", o, o, why)
		}
		if OpNamed(o.String()) != o {
			t.Errorf("%s is the name of %d and of %d", o, o, OpNamed(o.String()))
		}
	}
	if OpNamed("nonsense") != 0 || OpNamed("") != 0 {
		t.Error("there is an operation of no name")
	}
}

// A row that lacks something is noticed.
func TestOperationsCanFail(t *testing.T) {
	for name, spoil := range map[string]func(r *Operation){
		"name":        func(r *Operation) { r.Name = "" },
		"doc":         func(r *Operation) { r.Doc = "" },
		"who":         func(r *Operation) { r.Who = 0 },
		"drawn":       func(r *Operation) { r.Drawn = Drawn{} },
		"drawn twice": func(r *Operation) { r.Drawn.Never = "never" },
		"key":         func(r *Operation) { r.Params[0].Key = KeyPID },
		"kind":        func(r *Operation) { r.Params[0].Kind = Kinds },
		"arg's name":  func(r *Operation) { r.Params[0].Name = "" },
		"arg's doc":   func(r *Operation) { r.Params[0].Doc = "" },
		"twice":       func(r *Operation) { r.Params[1].Name = r.Params[0].Name },
		"one alone":   func(r *Operation) { r.Params[1].Use = OneOf },
	} {
		r := *OpMapCreate.Row()
		r.Params = slices.Clone(r.Params)
		spoil(&r)
		if len(checkRow(&r)) == 0 {
			t.Errorf("%s: nothing is noticed", name)
		}
	}
}

// Each key and each kind of values belongs to an operation, or no case file can spell it.
func TestKeysAreUsed(t *testing.T) {
	keys, kinds := map[Key]bool{}, map[Kind]bool{}
	for o := Op(1); o < Ops; o++ {
		for _, p := range o.Row().Params {
			keys[p.Key], kinds[p.Kind] = true, true
		}
	}
	for k := Key(1); k < Keys; k++ {
		if keys[k] == k.Inner() {
			t.Errorf("key %d: an operation takes it, %v, and no case file can spell it, %v", k, keys[k], k.Inner())
		}
	}
	for k := Kind(1); k < Kinds; k++ {
		if !kinds[k] {
			t.Errorf("kind %d is no argument's", k)
		}
		for i, w := range k.Words() {
			n, err := k.Word(w)
			if i == 0 && (w != "" || err == nil) || i > 0 && (err != nil || n != uint64(i)) {
				t.Errorf("kind %d: word %d, %q: %d, %v", k, i, w, n, err)
			}
		}
	}
}

// A number that is no operation's has an empty row: nothing does it.
func TestUnknownOp(t *testing.T) {
	for _, o := range []Op{0, Ops, 255} {
		if r := o.Row(); o.Known() || r.Name != "" || r.Who != 0 || o.Brokered() || o.Observes() {
			t.Errorf("operation %d: %+v", o, r)
		}
	}
	if Key(255).MountOption() != "" || Key(0).Field() || Keys.Inner() {
		t.Error("a number that is no key's is of a type")
	}
}

// Who does an operation, and which keys replace a part of a request, by example.
func TestOpsByExample(t *testing.T) {
	for o, want := range map[Op][2]bool{
		OpMapCreate: {}, OpStat: {false, true}, OpSend: {true, false}, OpUmount: {true, false},
	} {
		if got := [2]bool{o.Brokered(), o.Observes()}; got != want {
			t.Errorf("%s: brokered and observes %v, want %v", o, got, want)
		}
	}
	for k, want := range map[Key]bool{
		KeyKeySize: true, KeyFlags: true, KeyAttr: true, KeyToken: false, KeyType: false, KeyInside: false,
		KeyTime: false, KeyPath: false,
	} {
		if k.Field() != want {
			t.Errorf("key %d: field %v", k, k.Field())
		}
	}
	if KeyCmds.MountOption() != "delegate_cmds" || KeyPath.MountOption() != "" {
		t.Error("mount options")
	}
}
