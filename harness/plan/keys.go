package plan

import (
	"fmt"
	"strings"

	"github.com/agnivade/levenshtein"
)

// kind is what a key of a plan file takes.
type kind int

const (
	word  kind = iota // a string
	words             // a list of strings
	yes               // true or false
	count             // a whole number of at least 1
)

// takes is what a mistake in a value says.
var takes = map[kind]string{
	word:  `a string, such as %s = "x"`,
	words: `a list, such as %s = ["x"]`,
	yes:   "true or false",
	count: "a whole number of at least 1",
}

// key is a key of a plan file.
type key struct {
	name    string
	flag    string // of run, which the key is in place of; "" for kernels, cases and those of a configuration
	kind    kind
	path    bool   // it is a file or a directory, relative to the plan file
	about   string // one line
	example string // a value as TOML has it
}

// keys are the keys of a plan file, in the order in which WriteConfig has them.
var keys = []key{
	{"kernels", "", words, false, "kernels to boot; a path is relative to this file", `["deb:6.12", "deb:7.3"]`},
	{"arch", "arch", words, false, "architectures of the deb: kernels of this file that name none", `["amd64", "arm64"]`},
	{"cases", "", words, false, "cases, patterns and case files; none is the default suite",
		`["token_create", "repro.txt"]`},
	{"full", "full", yes, false, "run every case, not only the default suite", "false"},
	{"regexp", "regexp", words, false, "only the cases that one of these regular expressions matches",
		`["/owner/CAP_BPF/"]`},
	{"denylist", "denylist", words, true, "lists of cases that do not run, each with a reason", `["deny.txt"]`},
	{"allowlist", "allowlist", words, true, "lists of the only cases that run", `["allow.txt"]`},
	{"expect", "expect", words, true, "lists of cases that are known to fail, each with its errno", `["expect.txt"]`},
	{"strict-lists", "strict-lists", yes, false, "an entry of these lists that matches no case is an error", "false"},
	{"shard", "shard", word, false, "the part of the plan to run: I/N, auto or auto/N", `"auto"`},
	{"durations", "durations", word, true, "cut the parts by what kernels took in this run", `"run"`},

	{"accel", "accel", word, false, "auto, kvm or tcg", `"auto"`},
	{"append", "append", words, false, "arguments for the kernel's command line", `["quiet"]`},
	{"jobs", "jobs", count, false, "machines at a time", "2"},
	{"deadline", "deadline", word, false, "end a machine after this time", `"5m"`},
	{"batch", "batch", count, false, "cases to send at a time", "256"},
	{"isolate", "isolate", word, false, "give each case or group a machine of its own", `"group"`},
	{"repeat", "repeat", count, false, "run everything so many times", "3"},
	{"failfast", "failfast", yes, false, "stop at the first failure", "false"},
	{"snapshot", "snapshot", word, false, "start from a snapshot: auto, always or never", `"auto"`},
	{"offline", "offline", yes, false, "do not use the network", "false"},
	{"qemu", "qemu", word, false, "the program to run as QEMU", `"my-qemu"`},

	{"allow", "allow", words, true, "lists of the kernel's reports that do not count", `["reports.txt"]`},
	{"baseline", "baseline", word, true, "compare with this baseline: exit code 1 is for new failures alone",
		`"baseline.jsonl.gz"`},
	{"fail-on", "fail-on", words, false, "changes from the baseline that also exit with 1",
		`["changed-decision", "vanished"]`},
	{"allow-empty", "allow-empty", yes, false, "exit with 0 also if nothing was decided", "false"},
	{"format", "format", word, false, "the format of the report", `"junit"`},
	{"out", "out", word, true, "the directory of the run, which must not exist", `"run"`},
}

// aliases are other names of keys.
var aliases = map[string]string{"deny": "denylist"}

// configKeys are the keys of a [[config]].
var configKeys = []key{
	{"name", "", word, false, "what reports call it: one word", `"debug"`},
	{"config", "", word, true, "the .config to begin with, or :PATH+PATH of the source", `"debug.config"`},
	{"fragments", "", words, false, "base, token, debug, or files", `["base", "token", "debug"]`},
	{"make", "", words, false, "variables for make", `["LLVM=1"]`},
}

// find returns the key of a name in a list of keys, or nil.
func find(list []key, name string) *key {
	if other, ok := aliases[name]; ok {
		name = other
	}
	for i := range list {
		if list[i].name == name {
			return &list[i]
		}
	}
	return nil
}

// nearKey names the key that looks like a name, as " (near: key)", or "".
func nearKey(list []key, name string) string {
	best, near := 3, ""
	for i := range list {
		d := levenshtein.ComputeDistance(name, list[i].name)
		if strings.HasPrefix(list[i].name, name) {
			d = 0
		}
		if d < best {
			best, near = d, " (near: "+list[i].name+")"
		}
	}
	return near
}

// WriteConfig returns a plan file that explains every key and sets none: each is a comment.
func WriteConfig() string {
	var b strings.Builder
	b.WriteString("# " + FileName + `: what "tokentest run" and "tokentest plan" do without flags. A flag overrides
# the key of its name. Paths are relative to this file. Remove the # before a key to set it.

`)
	write := func(list []key) {
		for _, k := range list {
			fmt.Fprintf(&b, "# %s\n#%s = %s\n", k.about, k.name, k.example)
		}
	}
	write(keys)
	b.WriteString("\n# A configuration for kernels that are built (src: and git:); each kernel is built in each.\n" +
		"#[[config]]\n")
	write(configKeys)
	return b.String()
}
