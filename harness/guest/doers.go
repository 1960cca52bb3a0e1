package guest

import (
	"errors"
	"fmt"

	"tokentest/cases/step"
	"tokentest/cases/uapi"
)

// doer is how an operation is done: by the broker, by an actor, or by the broker
// that then has an actor make the call. The table of operations says which.
type doer struct {
	broker func(g *agent, p *player, s *step.Step) (step.Observation, error)
	actor  func(a *actor, s *step.Step) (fd int, o step.Observation)
	// call, in the place of actor, makes the call of bpf(2) that makes an object; what
	// it made is then proved as an object of the command proves.
	call   func(a *actor, s *step.Step) (fd int, errno uapi.Errno)
	proves uapi.Cmd
}

// doers is the table. A descriptor that an actor's function returns is kept, or closed.
var doers = [step.Ops]doer{
	step.OpBPFFS:         {broker: (*agent).delegate},
	step.OpTokenCreate:   {call: (*actor).createToken, proves: uapi.BPF_TOKEN_CREATE},
	step.OpMapCreate:     {call: (*actor).createMap, proves: uapi.BPF_MAP_CREATE},
	step.OpProgLoad:      {call: (*actor).loadProg, proves: uapi.BPF_PROG_LOAD},
	step.OpBTFLoad:       {call: (*actor).loadBTF, proves: uapi.BPF_BTF_LOAD},
	step.OpSend:          {broker: (*agent).pass},
	step.OpClose:         {actor: (*actor).closeStep},
	step.OpSysctl:        {broker: (*agent).sysctlStep},
	step.OpSysrq:         {broker: (*agent).sysrq},
	step.OpCall:          {actor: (*actor).command},
	step.OpFsopen:        {actor: (*actor).fsopen},
	step.OpFsconfig:      {actor: (*actor).fsconfig},
	step.OpFscreate:      {actor: (*actor).fscreate},
	step.OpFsreconfigure: {actor: (*actor).fsreconfigure},
	step.OpFspick:        {actor: (*actor).fspick},
	step.OpFsmount:       {actor: (*actor).fsmount},
	step.OpMoveMount:     {actor: (*actor).moveMount},
	step.OpMount:         {actor: (*actor).mountBPFFS},
	step.OpRemount:       {actor: (*actor).remount},
	step.OpBind:          {actor: (*actor).bind},
	step.OpCloneMount:    {actor: (*actor).cloneMount},
	step.OpShare:         {actor: (*actor).share},
	step.OpUmount:        {broker: (*agent).umount, actor: (*actor).umount},
	step.OpOpen:          {actor: (*actor).openDir},
	step.OpMkdir:         {actor: (*actor).mkdir},
	step.OpChmod:         {actor: (*actor).chmod},
	step.OpStat:          {actor: (*actor).stat},
	step.OpMountinfo:     {actor: (*actor).mountinfo},
	step.OpFdinfo:        {actor: (*actor).fdinfo},
	step.OpTokenInfo:     {actor: (*actor).tokenInfo},
	step.OpPin:           {actor: (*actor).pin},
	step.OpLink:          {actor: (*actor).linkAt},
	step.OpDup:           {actor: (*actor).dup},
	step.OpCloexec:       {actor: (*actor).cloexec},
	step.OpExec:          {broker: (*agent).execAgain},
	step.OpFork:          {broker: (*agent).fork},
	step.OpExit:          {broker: (*agent).exit},
	step.OpUserns:        {actor: (*actor).userns},
	step.OpNetns:         {actor: (*actor).netns},
	step.OpSetns:         {actor: (*actor).setns},
	step.OpPidfdGetfd:    {broker: (*agent).takeFrom, actor: (*actor).pidfdGetfd},
	step.OpProcOpen:      {broker: (*agent).takeFrom, actor: (*actor).procOpen},
	step.OpChurn:         {broker: (*agent).churn, actor: (*actor).churn},
	step.OpNamespaces:    {broker: (*agent).namespaces},
	step.OpRace:          {broker: (*agent).race, actor: (*actor).race},
	step.OpLSM:           {broker: (*agent).attachLSM},
	step.OpLSMOff:        {broker: (*agent).stopLSM},
	step.OpLSMRan:        {broker: (*agent).ranLSM},
	step.OpMemory:        {broker: (*agent).bound},
	step.OpKallsyms:      {broker: (*agent).symbol},
	step.OpLibrary:       {actor: (*actor).library},
	step.OpElement:       {actor: (*actor).element},
	step.OpObjGet:        {actor: (*actor).objGet},
	step.OpConsume:       {actor: (*actor).consume},
	step.OpBarriers:      {actor: (*actor).barriers},
	step.OpReopen:        {actor: (*actor).reopen},
	step.OpLinkCreate:    {actor: (*actor).createLink},
	step.OpProgAttach:    {broker: (*agent).attachProgFor, actor: (*actor).attachProg},
	step.OpProgDetach:    {actor: (*actor).detachProg},
	step.OpLinkUpdate:    {actor: (*actor).updateLink},
	step.OpLinkDetach:    {actor: (*actor).detachLink},
	step.OpIterCreate:    {actor: (*actor).createIter},
	step.OpAttached:      {broker: (*agent).showAttached},
	step.OpMountAttr:     {actor: (*actor).mountAttr},
	step.OpFile:          {actor: (*actor).fileCall},
	step.OpProcFdinfo:    {broker: (*agent).takeFrom, actor: (*actor).procFdinfo},
	step.OpRaw:           {actor: (*actor).raw},
	step.OpRun:           {broker: (*agent).bringProgram, actor: (*actor).runProgram},
	step.OpFreeze:        {actor: (*actor).freeze},
	step.OpBatch:         {actor: (*actor).batch},
	step.OpMmap:          {actor: (*actor).mmap},
	step.OpProgInfo:      {actor: (*actor).progInfo},
	step.OpKernelBTF:     {actor: (*actor).kernelBTF},
	step.OpWriteSysctl:   {broker: (*agent).writeSysctl, actor: (*actor).writeSysctl},
	step.OpXattr:         {actor: (*actor).xattr},
	step.OpTranslated:    {actor: (*actor).translated},
	step.OpRunProg:       {actor: (*actor).runProg},
	step.OpSymlink:       {actor: (*actor).symlink},
	step.OpLinkInfo:      {actor: (*actor).linkInfo},
	step.OpQueryEvent:    {actor: (*actor).queryEvent},
	step.OpSELinux:       {broker: (*agent).setSELinux},
	step.OpFileMax:       {broker: (*agent).boundFiles},
}

var errUnknownOp = errors.New("does not know the operation")

// knowsAll refuses all steps if an actor does not know one of them: an errno would look
// like the kernel's answer.
func knowsAll(steps []step.Step) error {
	for i := range steps {
		o := steps[i].Op
		if !o.Known() || doers[o].actor == nil && doers[o].call == nil {
			return fmt.Errorf("the actor %w %s", errUnknownOp, o)
		}
	}
	return nil
}
