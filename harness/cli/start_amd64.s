#include "textflag.h"

// Start asks for the descriptor flags of the standard output, and goes on to Go's own entry.
TEXT ·Start(SB),NOSPLIT|NOFRAME,$0
	MOVQ $72, AX // fcntl
	MOVQ $1, DI
	MOVQ $1, SI // F_GETFD
	SYSCALL
	MOVQ AX, ·stdoutFlags(SB)
	JMP  _rt0_amd64_linux(SB)
