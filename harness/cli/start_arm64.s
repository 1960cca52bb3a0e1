#include "textflag.h"

// Start asks for the descriptor flags of the standard output, and goes on to Go's own entry.
TEXT ·Start(SB),NOSPLIT|NOFRAME,$0
	MOVD $25, R8 // fcntl
	MOVD $1, R0
	MOVD $1, R1 // F_GETFD
	SVC  $0
	MOVD R0, ·stdoutFlags(SB)
	B    _rt0_arm64_linux(SB)
