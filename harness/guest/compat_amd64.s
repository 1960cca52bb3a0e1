#include "textflag.h"

// func int80(nr, a1, a2, a3 uintptr) uintptr
TEXT ·int80(SB), NOSPLIT, $0-40
	MOVQ nr+0(FP), AX
	MOVQ a1+8(FP), BX
	MOVQ a2+16(FP), CX
	MOVQ a3+24(FP), DX
	XORL SI, SI // the common attribute of BPF_COMMON_ATTRS and its size: there is none
	XORL DI, DI
	INT $0x80
	MOVQ AX, ret+32(FP)
	RET
