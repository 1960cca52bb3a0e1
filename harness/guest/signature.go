package guest

import (
	_ "embed"
	"encoding/binary"
	"encoding/hex"

	"golang.org/x/sys/unix"

	"tokentest/cases/uapi"
)

// The signatures of the program r0 = 2; exit, and of it followed by a value of four zeros, in either byte order, and
// the certificate of their key, which is nowhere else. scripts/sign.sh makes them anew.
var (
	//go:embed signed/cert.der
	certificate []byte
	//go:embed signed/le.der
	signedLittle []byte
	//go:embed signed/be.der
	signedBig []byte
	//go:embed signed/le_map.der
	boundLittle []byte
	//go:embed signed/be_map.der
	boundBig []byte
)

// The SHA-256 of the program, in either byte order.
const (
	hashLittle = "614b434cd8324ecc7c75ff9332b723a2eec8478e23cca7735bf316f765d42a61"
	hashBig    = "3804d69d5d2079bb7bd4fdce991f28ad55f46b13025c4642843a1a7361c38fe5"
)

func littleEndian() bool { return binary.NativeEndian.Uint16([]byte{1, 0}) == 1 }

// signedHash is the hash of the program that is signed.
func signedHash() []byte {
	text := hashBig
	if littleEndian() {
		text = hashLittle
	}
	out, _ := hex.DecodeString(text) // a constant, which a test reads
	return out
}

// sign gives the program a signature that is one of it, with or without a map, and the thread a keyring with the key.
func (a *attr) sign(bound bool) {
	sig := [][]byte{signedBig, boundBig, signedLittle, boundLittle}[choice(littleEndian())<<1|choice(bound)]
	a.ptr(uapi.Attr_signature, &sig[0])
	a.u32(uapi.Attr_signature_size, uint32(len(sig)))
	a.i32(uapi.Attr_keyring_id, unix.KEY_SPEC_THREAD_KEYRING)
	// A failure shows: the kernel then finds no keyring.
	_, _ = unix.AddKey("asymmetric", "tokentest", certificate, unix.KEY_SPEC_THREAD_KEYRING)
}

func choice(b bool) int {
	if b {
		return 1
	}
	return 0
}
