package wire

import (
	"fmt"
	"path"
	"strings"
)

// Exec is a program for the guest to run, as if it were run where the host is.
type Exec struct {
	Args []string `json:"args"` // the first is the program's path
	Env  []string `json:"env"`
	Dir  string   `json:"dir"`
	// Root is the directory that the program is confined to; "" is none.
	Root string `json:"root,omitempty"`
	UID  uint32 `json:"uid,omitempty"`
	GID  uint32 `json:"gid,omitempty"`
	// Make are directories that must exist, Get files to send back at the end.
	Make []string  `json:"make,omitempty"`
	Get  []string  `json:"get,omitempty"`
	TTY  *Terminal `json:"tty,omitempty"` // its terminal, where it gets one
}

// Terminal is a terminal's size.
type Terminal struct {
	Rows uint16 `json:"rows"`
	Cols uint16 `json:"cols"`
}

// Exit is how a program ended.
type Exit struct {
	Code   int    `json:"code"`
	Signal int    `json:"signal,omitempty"` // that ended it; 0 is none
	Error  string `json:"error,omitempty"`  // why it could not be run
	// Missing says that the error is that there is no such program.
	Missing bool `json:"missing,omitempty"`
	// Words are the lines of the kernel's log that programs wrote, as the
	// console shows them.
	Words []string `json:"words,omitempty"`
}

// Signal is something that happens to a running program.
type Signal struct {
	Number int       `json:"number,omitempty"`
	Size   *Terminal `json:"size,omitempty"`
}

// FileKind says what a file is.
type FileKind uint8

// The kinds of files.
const (
	Regular FileKind = iota
	Directory
	Symlink // its data is the target
)

// File is a file, or the next part of the one before.
type File struct {
	Path string
	Kind FileKind
	Mode uint32 // permissions
	More bool   // further data of the file sent before
	Data []byte
}

// MaxFileData is how much of a file a record carries.
const MaxFileData = 256 << 10

// EncodeFile encodes the payload of a file record.
func EncodeFile(f *File) []byte {
	var e encoder
	e.str(f.Path)
	e.num(uint64(f.Kind))
	e.num(uint64(f.Mode))
	more := uint64(0)
	if f.More {
		more = 1
	}
	e.num(more)
	return append(e.b, f.Data...)
}

// DecodeFile decodes a file record. The data is that of the payload.
func DecodeFile(payload []byte) (*File, error) {
	d := decoder{b: payload}
	f := &File{Path: d.str(), Kind: FileKind(d.num()), Mode: uint32(d.num()), More: d.num() != 0}
	f.Data = d.b
	if d.err == nil && (f.Kind > Symlink || !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path ||
		strings.Contains(f.Path, "\x00")) {
		d.fail(fmt.Sprintf("%q is no file", f.Path))
	}
	return f, d.err
}

// ByHand is a case that a person runs in a shell of the guest.
type ByHand struct {
	World []byte   `json:"world"` // a world record's payload
	Cells []byte   `json:"cells"` // a cells record's payload
	Setup []string `json:"setup"` // the set-up's steps in words
	Steps []string `json:"steps"` // the case's
}
