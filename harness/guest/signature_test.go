package guest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"tokentest/harness/bodies"
)

// What is signed is the program that requests have.
func TestSignatures(t *testing.T) {
	program := bodies.Exit(2)
	if got := sha256.Sum256(program); !bytes.Equal(got[:], signedHash()) {
		t.Errorf("the hash of the signed program is %x, and signedHash has %x", got, signedHash())
	}
	for i := 0; i < len(program); i += bodies.Len { // the other byte order: 8 bits, two of 4, 16, 32
		regs, imm := &program[i+1], program[i+4:i+8]
		*regs = *regs<<4 | *regs>>4
		binary.BigEndian.PutUint32(imm, binary.LittleEndian.Uint32(imm))
	}
	other := hashBig
	if !littleEndian() {
		other = hashLittle
	}
	if got := sha256.Sum256(program); hex.EncodeToString(got[:]) != other {
		t.Errorf("the hash in the other byte order is %x, and the constant is %s", got, other)
	}
	// crypto/x509 would make the test a program of cgo, in which no thread can set the capabilities of all.
	for _, sig := range [][]byte{certificate, signedLittle, signedBig, boundLittle, boundBig} {
		if len(sig) < 100 || sig[0] != 0x30 {
			t.Errorf("a signature or a certificate of %d bytes", len(sig))
		}
	}
}
