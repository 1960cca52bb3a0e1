package wire

import "time"

// Names, sizes and times that host and guest must agree on.
const (
	// ControlPort is the name of the virtio-serial port of the control channel,
	// which the guest reads from /sys/class/virtio-ports/*/name.
	ControlPort = "tokentest.control"

	// LogPrefix begins each line that the agent writes to the kernel log. After
	// it, MarkPrefix introduces a Mark, and AgentPrefix the reason why the agent
	// gives up.
	LogPrefix   = "tokentest: "
	MarkPrefix  = "begin "
	AgentPrefix = "agent: "

	// InputWindow is the number of input records that the host may send before
	// the guest acknowledges one.
	InputWindow = 16

	// AliveEvery is how often the agent sends an alive record while a program runs.
	AliveEvery = 2 * time.Second

	// CaseDir is the guest's directory of the cases that a person can run by
	// hand, and CaseCommand the program that runs one.
	CaseDir     = "/cases"
	CaseCommand = "runcase"

	// GoDebug is the setting of GODEBUG that keeps the Go runtime from
	// interrupting a system call by a signal, and from reading a limit of its processors,
	// for which it needs /proc/self/mountinfo: to show a bpffs there, the kernel searches all of its
	// BTF for the names of each mask (bpf_show_options in kernel/bpf/inode.c).
	GoDebug = "GODEBUG=asyncpreemptoff=1,containermaxprocs=0,updatemaxprocs=0"

	// SerialPort is a variable that names the serial port of the control channel, such as ttyS1, on a machine that
	// has one beside the virtio port.
	SerialPort = "TOKENTEST_SERIAL"

	// ForCases is a variable that tells the agent that this machine runs cases, and no program of the user.
	ForCases = "TOKENTEST_CASES=1"
)
