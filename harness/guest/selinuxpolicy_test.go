package guest

import (
	"bytes"
	"encoding/binary"
	"testing"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// The policy has a rule for each pair of domains and each class, which allows all but what the rows deny.
func TestPolicyRules(t *testing.T) {
	classes := policyClasses()
	w := &policyWriter{}
	w.rules(classes)
	const item = 4*2 + 4
	types := len(step.DomainRows)
	if n := binary.LittleEndian.Uint32(w.b); int(n) != types*types*len(classes) || len(w.b) != 4+int(n)*item {
		t.Fatalf("%d rules in %d bytes", n, len(w.b))
	}
	denied := map[[2]int]int{}
	for at := 4; at < len(w.b); at += item {
		var key [4]uint16
		for i := range key {
			key[i] = binary.LittleEndian.Uint16(w.b[at+2*i:])
		}
		class := classes[key[2]-1]
		missing := (uint32(1)<<len(class.perms) - 1) &^ binary.LittleEndian.Uint32(w.b[at+8:])
		for i, name := range class.perms {
			if missing&(1<<i) != 0 {
				denied[[2]int{int(key[0]) - 1, int(key[1]) - 1}]++
				if class.bits[i] == 0 {
					t.Errorf("%s is denied, which no row names", name)
				}
			}
		}
	}
	for pair, want := range map[[2]int]int{
		{0, 0}: 0, {0, int(step.DomainOther)}: 0, {int(step.DomainNoMapCreate), int(step.DomainNoMapCreate)}: 1,
		{int(step.DomainNoMapCreate), 0}: 0, {0, int(step.DomainNoMapGrant)}: 1, {int(step.DomainNoMapGrant), 0}: 0,
		{int(step.DomainNoBPF), 0}: 1, {int(step.DomainNoBPF), int(step.DomainNoBPF)}: 0,
	} {
		if denied[pair] != want {
			t.Errorf("%v: %d permissions are denied, want %d", pair, denied[pair], want)
		}
	}
}

// The two policies differ in one bit of the policy capabilities, and each permission stands in one class.
func TestPolicyBlob(t *testing.T) {
	plain, token := policy{}.blob(), policy{tokenPerms: true}.blob()
	if !bytes.HasPrefix(plain, append(binary.LittleEndian.AppendUint32(nil, policyMagic), 8, 0, 0, 0)) {
		t.Errorf("it begins with % x", plain[:8])
	}
	if bytes.Equal(plain, token) || len(token) != len(plain)+4+8 {
		t.Errorf("%d and %d bytes", len(plain), len(token))
	}
	seen := uapi.Perms(0)
	for _, c := range policyClasses() {
		for _, bit := range c.bits {
			if seen&bit != 0 {
				t.Errorf("%s: %#x is there twice", c.name, bit)
			}
			seen |= bit
		}
	}
	if seen != 1<<len(uapi.PermNames)-1 {
		t.Errorf("permissions %#x", seen)
	}
}
