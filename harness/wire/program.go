package wire

import (
	"fmt"
	"path"
	"strings"
)

// Exec is a program for the guest to run as if it ran on the host.
type Exec struct {
	Args []string `json:"args"` // the first is the program's path
	Env  []string `json:"env"`
	Dir  string   `json:"dir"`
	// Root is the program's root directory; "" means that it has none of its own.
	Root string `json:"root,omitempty"`
	UID  uint32 `json:"uid,omitempty"`
	GID  uint32 `json:"gid,omitempty"`
	// Now is the time on the host in nanoseconds since 1970: the clock of a restored machine stands at its snapshot. 0
	// leaves the clock.
	Now int64 `json:"now,omitempty"`
	// Make are directories to create, Get files to send back at the end.
	Make []string  `json:"make,omitempty"`
	Get  []string  `json:"get,omitempty"`
	TTY  *Terminal `json:"tty,omitempty"` // its terminal; nil is none
}

// Terminal is a terminal's size.
type Terminal struct {
	Rows uint16 `json:"rows"`
	Cols uint16 `json:"cols"`
}

// ModuleRequest asks for a kernel module, by its name or an alias.
type ModuleRequest struct {
	Name string `json:"name"`
}

// ModuleAnswer is what to load for it, in order. The host has sent the files before. It is found and empty if the
// kernel has the module built in.
type ModuleAnswer struct {
	Found bool         `json:"found,omitempty"`
	Load  []ModuleFile `json:"load,omitempty"`
	Why   string       `json:"why,omitempty"` // it is not found
}

// ModuleFile is the file of a module in the guest.
type ModuleFile struct {
	Path string `json:"path"`
	Soft bool   `json:"soft,omitempty"` // the others work without it
}

// Exit is how a program ended.
type Exit struct {
	Code   int    `json:"code"`
	Signal int    `json:"signal,omitempty"` // the signal that ended it; 0 is none
	Error  string `json:"error,omitempty"`  // why it could not be run
	// Missing says that there is no such program.
	Missing bool `json:"missing,omitempty"`
	// Unsent are the files of Exec.Get that could not be sent back.
	Unsent []Unsent `json:"unsent,omitempty"`
	// Words are the lines of the kernel log that programs wrote, as the console shows
	// them.
	Words []string `json:"words,omitempty"`
}

// Unsent is a file that the guest could not send back.
type Unsent struct {
	Path    string `json:"path"`
	Error   string `json:"error"`
	Missing bool   `json:"missing,omitempty"` // there is no such file
}

// Signal is a signal for a running program, or the new size of its terminal.
type Signal struct {
	Number int       `json:"number,omitempty"`
	Size   *Terminal `json:"size,omitempty"`
}

// FileKind is the kind of a file.
type FileKind uint8

// The kinds of files.
const (
	Regular FileKind = iota
	Directory
	Symlink // its data is the target
)

// File is a file, or the next part of the file before.
type File struct {
	Path string // absolute and clean
	Kind FileKind
	Mode uint32 // permissions
	More bool   // a further part of the file before
	Data []byte
}

// MaxFileData is how many bytes of a file a record carries at most.
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

// DecodeFile decodes a file record. Data is part of the payload, not a copy.
func DecodeFile(payload []byte) (*File, error) {
	d := decoder{b: payload}
	f := &File{Path: d.str(), Kind: FileKind(d.num()), Mode: uint32(d.num()), More: d.num() != 0}
	f.Data = d.b
	if d.err == nil && (f.Kind > Symlink || !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path ||
		strings.Contains(f.Path, "\x00")) {
		d.fail(fmt.Sprintf("%q is not a valid file", f.Path))
	}
	return f, d.err
}

// ByHand is a case that a person can run in a shell of the guest.
type ByHand struct {
	World []byte   `json:"world"` // the payload of a world record
	Cells []byte   `json:"cells"` // the payload of a cells record
	Setup []string `json:"setup"` // the texts of the set-up's steps
	Steps []string `json:"steps"` // the texts of the case's steps
}
