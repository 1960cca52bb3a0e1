package child

import (
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
)

// Guard makes a process group end with this program. The caller calls ended when the group has
// ended. Command does both by itself.
func Guard(group int) (ended func()) {
	theGuard.add(group)
	return func() { theGuard.remove(group) }
}

// theGuard guards all groups of this program.
var theGuard guard

// guard is a process that kills process groups when this program is gone: the parent-death
// signal reaches only children, and not what they started. It is a shell, which starts in a
// millisecond and needs little memory.
type guard struct {
	once sync.Once
	mu   sync.Mutex
	tell io.Writer // nil if there is no shell; then only the parent-death signal is left
}

// script reads "add GROUP" and "remove GROUP" until this program is gone. It gives git and
// make time to remove incomplete files.
const script = `trap '' HUP INT QUIT TERM
groups=' '
while read -r what group; do
	case $what in
	add) groups="$groups$group " ;;
	remove) case $groups in *" $group "*) groups="${groups%% $group *} ${groups#* $group }" ;; esac ;;
	esac
done
set -- $groups
for group; do
	kill -s TERM -- "-$group"
	kill -s CONT -- "-$group"
done
[ $# = 0 ] || sleep 1
for group; do kill -s KILL -- "-$group"; done
`

func (g *guard) start() {
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := cmd.StdinPipe()
	if err == nil && cmd.Start() == nil {
		g.tell = in
		go cmd.Wait()
	}
}

func (g *guard) add(group int)    { g.say("add", group) }
func (g *guard) remove(group int) { g.say("remove", group) }

func (g *guard) say(what string, group int) {
	g.once.Do(g.start)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.tell != nil {
		fmt.Fprintf(g.tell, "%s %d\n", what, group)
	}
}
