package step

// Form is how fsconfig(2) gets a value, if it is no string.
type Form uint8

// The forms.
const (
	FormBinary Form = iota + 1
	FormPath
	FormPathEmpty
	FormFD
)

// Forms are the forms as a case file spells them.
var Forms = []string{FormBinary: "binary", FormPath: "path", FormPathEmpty: "path_empty", FormFD: "fd"}

// By is a system call that shows what /proc shows.
type By uint8

// The calls.
const ByStatmount By = 1

// Bys are the calls as a case file spells them.
var Bys = []string{ByStatmount: "statmount"}

// FileDo is what is done with a token as a file.
type FileDo uint8

// What is done.
const (
	FileTruncate FileDo = iota + 1
	FileWatch           // inotify_add_watch(2)
	FileRead
	FileWrite
)

// FileDos are the actions as a case file spells them.
var FileDos = []string{FileTruncate: "truncate", FileWatch: "watch", FileRead: "read", FileWrite: "write"}

// FileNeeds is the option that compiles in the system call of a step that uses a token as a file.
func FileNeeds(s *Step) string {
	if do, _ := s.Num(KeyFileDo); FileDo(do) == FileWatch {
		return "INOTIFY_USER"
	}
	return ""
}

// XattrDo is what is done with an extended attribute.
type XattrDo uint8

// What is done.
const (
	XattrSet XattrDo = iota + 1
	XattrGet
	XattrFill // set others of the namespace, each of XattrFillSize bytes, up to XattrFillMax of them
)

// What XattrFill sets.
const (
	XattrFillSize = 4096
	XattrFillMax  = 64
)

// XattrDos are the actions as a case file spells them.
var XattrDos = []string{XattrSet: "set", XattrGet: "get", XattrFill: "fill"}

// Xattr is an extended attribute, by its namespace.
type Xattr uint8

// The attributes.
const (
	XattrSecurity Xattr = iota + 1
	XattrTrusted
	XattrUser
	XattrCapability // of a file's capabilities; the value is none
)

// Xattrs are the attributes as a case file spells them.
var Xattrs = []string{XattrSecurity: "security", XattrTrusted: "trusted", XattrUser: "user",
	XattrCapability: "capability"}

// XattrNames are their names.
var XattrNames = []string{XattrSecurity: "security.bpf.label", XattrTrusted: "trusted.label", XattrUser: "user.label",
	XattrCapability: "security.capability"}
