package oracle

import (
	"testing"

	"tokentest/cases/uapi"
)

// minimalMap is a map of a type that a booted 7.3 created, and the values near
// it that its map_alloc_check or map_alloc refuses.
type minimalMap struct {
	attr                MapAttr
	badKey, badValue    uint32 // sizes that the type refuses although they are not 0
	anyKey, anyValue    bool   // the type takes every size but 0
	noKey, noVal, noMax bool   // the size must be 0
	late                bool   // refused after the permissions
	structValue         bool   // a struct of the kernel gives the value's size: BadStruct
}

var minimalMaps = map[uapi.MapType]minimalMap{
	1:  {attr: MapAttr{Key: 4, Value: 4, Max: 1}, anyKey: true, anyValue: true},
	2:  {attr: MapAttr{Key: 4, Value: 4, Max: 1}, badKey: 8, anyValue: true},
	3:  {attr: MapAttr{Key: 4, Value: 4, Max: 1}, badKey: 8, badValue: 8},
	4:  {attr: MapAttr{Key: 4, Value: 4, Max: 1}, badKey: 8, badValue: 8},
	5:  {attr: MapAttr{Key: 4, Value: 4, Max: 1}, anyKey: true, anyValue: true},
	6:  {attr: MapAttr{Key: 4, Value: 4, Max: 1}, badKey: 8, anyValue: true},
	7:  {attr: MapAttr{Key: 4, Value: 8, Max: 1}, badKey: 8, badValue: 4, late: true},
	8:  {attr: MapAttr{Key: 4, Value: 4, Max: 1}, badKey: 8, badValue: 8},
	9:  {attr: MapAttr{Key: 4, Value: 4, Max: 1}, anyKey: true, anyValue: true},
	10: {attr: MapAttr{Key: 4, Value: 4, Max: 1}, anyKey: true, anyValue: true},
	11: {attr: MapAttr{Key: 8, Value: 4, Max: 1, Flags: fNoPrealloc}, badKey: 4, anyValue: true, late: true},
	12: {attr: MapAttr{Key: 4, Value: 4, Max: 1}, badKey: 8, badValue: 8},
	13: {attr: MapAttr{Key: 4, Value: 4, Max: 1}, anyKey: true, badValue: 8},
	14: {attr: MapAttr{Key: 4, Value: 4, Max: 1}, badKey: 8, badValue: 12},
	15: {attr: MapAttr{Key: 4, Value: 4, Max: 1}, badKey: 8, badValue: 12, late: true},
	16: {attr: MapAttr{Key: 4, Value: 4, Max: 1}, badKey: 8, badValue: 12, late: true},
	17: {attr: MapAttr{Key: 4, Value: 4, Max: 1}, badKey: 8, badValue: 8, late: true},
	18: {attr: MapAttr{Key: 4, Value: 4, Max: 1}, anyKey: true, badValue: 12, late: true},
	19: {attr: MapAttr{Key: 16, Value: 4}, badKey: 4, anyValue: true, noMax: true, late: true},
	20: {attr: MapAttr{Key: 4, Value: 4, Max: 1}, badKey: 8, badValue: 12},
	21: {attr: MapAttr{Key: 8, Value: 4}, badKey: 4, anyValue: true, noMax: true, late: true},
	22: {attr: MapAttr{Value: 4, Max: 1}, noKey: true, anyValue: true},
	23: {attr: MapAttr{Value: 4, Max: 1}, noKey: true, anyValue: true},
	24: {attr: localMap, badKey: 8, anyValue: true, noMax: true},
	25: {attr: MapAttr{Key: 4, Value: 4, Max: 1}, badKey: 8, badValue: 12},
	26: {attr: MapAttr{Key: 4, Value: 64, Max: 1, Vmlinux: 7}, badKey: 8, structValue: true},
	27: {attr: MapAttr{Max: 4096}, noKey: true, noVal: true, late: true},
	28: {attr: localMap, badKey: 8, anyValue: true, noMax: true},
	29: {attr: localMap, badKey: 8, anyValue: true, noMax: true},
	30: {attr: MapAttr{Value: 4, Max: 1}, noKey: true, anyValue: true, late: true},
	31: {attr: MapAttr{Max: 4096}, noKey: true, noVal: true, late: true},
	32: {attr: localMap, badKey: 8, anyValue: true, noMax: true},
	33: {attr: MapAttr{Max: 1, Flags: fMmapable}, noKey: true, noVal: true, late: true},
	34: {attr: MapAttr{Key: 4, Value: 16, Max: 1}, badKey: 8, badValue: 8},
	35: {attr: MapAttr{Key: 4, Value: 4, Max: 1, Flags: fNoPrealloc}, anyKey: true, anyValue: true},
}

var localMap = MapAttr{Key: 4, Value: 4, Flags: fNoPrealloc, BTFKey: 1, BTFValue: 1, Types: 1}

// Every map type takes its minimal attributes, and refuses each of them when it
// is wrong: before the permissions if it has a map_alloc_check, else after.
func TestMinimalMaps(t *testing.T) {
	for _, m := range uapi.MapTypes.Members {
		typ := uapi.MapType(m.Value)
		row, listed := minimalMaps[typ]
		if m.Value == 0 {
			continue
		}
		if !listed {
			t.Errorf("map type %s is missing from the test", m.Name)
			continue
		}
		if v := decideMap(typ, row.attr, uapi.AllCaps); v.Errno != 0 || !v.Known {
			t.Errorf("%s: the minimal map: got %s by %s (known %v)", m.Name, v.Errno, v.ID, v.Known)
		}
		for what, bad := range row.wrong() {
			if v := decideMap(typ, bad, uapi.AllCaps); v.Errno != eINVAL {
				t.Errorf("%s: %s: got %s by %s, want EINVAL", m.Name, what, v.Errno, v.ID)
			}
			want := eINVAL
			if row.late {
				want = ePERM
			}
			if v := decideMap(typ, bad, 0); v.Errno != want {
				t.Errorf("%s: %s, without capabilities: got %s by %s, want %s", m.Name, what, v.Errno, v.ID, want)
			}
		}
		for what, good := range row.right() {
			if v := decideMap(typ, good, uapi.AllCaps); v.Errno != 0 {
				t.Errorf("%s: %s: got %s by %s, want ok", m.Name, what, v.Errno, v.ID)
			}
		}
	}
}

func decideMap(typ uapi.MapType, a MapAttr, caps uapi.CapSet) Verdict {
	w := &World{Kernel: k73, Caller: cred(child, 1000, caps), UnprivDisabled: 2}
	return Decide(w, &MapCreate{Type: typ, Token: tokenOf(allMasks), Attr: &a})
}

// change returns the attribute with one change.
func (m *minimalMap) change(f func(a *MapAttr)) MapAttr {
	a := m.attr
	f(&a)
	return a
}

// wrong are the attributes with one value that the type refuses.
func (m *minimalMap) wrong() map[string]MapAttr {
	out := map[string]MapAttr{"an unknown flag": m.change(func(a *MapAttr) { a.Flags |= 1 << 27 })}
	size := func(what string, must0 bool, bad uint32, set func(a *MapAttr, n uint32)) {
		if must0 {
			out[what+" not 0"] = m.change(func(a *MapAttr) { set(a, 4) })
			return
		}
		out[what+" 0"] = m.change(func(a *MapAttr) { set(a, 0) })
		if bad != 0 {
			out[what+" wrong"] = m.change(func(a *MapAttr) { set(a, bad) })
		}
	}
	size("key", m.noKey, m.badKey, func(a *MapAttr, n uint32) { a.Key = n })
	if !m.structValue {
		size("value", m.noVal, m.badValue, func(a *MapAttr, n uint32) { a.Value = n })
	}
	size("max", m.noMax, 0, func(a *MapAttr, n uint32) { a.Max = n })
	if must := m.attr.Flags; must != 0 {
		out["a missing flag"] = m.change(func(a *MapAttr) { a.Flags &^= must })
	}
	return out
}

// right are the attributes with another value that the type takes.
func (m *minimalMap) right() map[string]MapAttr {
	out := map[string]MapAttr{}
	if m.anyKey {
		out["another key"] = m.change(func(a *MapAttr) { a.Key = 12 })
	}
	if m.anyValue && !m.noMax { // a storage's value has a BTF type of 4 bytes
		out["another value"] = m.change(func(a *MapAttr) { a.Value = 24 })
	}
	return out
}
