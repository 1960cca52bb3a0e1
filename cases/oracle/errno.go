package oracle

import (
	"golang.org/x/sys/unix"

	"tokentest/cases/uapi"
)

// The errnos that the rules give.
const (
	ePERM        = uapi.Errno(unix.EPERM)
	eNOENT       = uapi.Errno(unix.ENOENT)
	e2BIG        = uapi.Errno(unix.E2BIG)
	eBADF        = uapi.Errno(unix.EBADF)
	eNOMEM       = uapi.Errno(unix.ENOMEM)
	eACCES       = uapi.Errno(unix.EACCES)
	eFAULT       = uapi.Errno(unix.EFAULT)
	eBUSY        = uapi.Errno(unix.EBUSY)
	eROFS        = uapi.Errno(unix.EROFS)
	eEXIST       = uapi.Errno(unix.EEXIST)
	eXDEV        = uapi.Errno(unix.EXDEV)
	eNOTDIR      = uapi.Errno(unix.ENOTDIR)
	eINVAL       = uapi.Errno(unix.EINVAL)
	eNFILE       = uapi.Errno(unix.ENFILE)
	eNOSPC       = uapi.Errno(unix.ENOSPC)
	eMFILE       = uapi.Errno(unix.EMFILE)
	eRANGE       = uapi.Errno(unix.ERANGE)
	eNODEV       = uapi.Errno(unix.ENODEV)
	eNODATA      = uapi.Errno(unix.ENODATA)
	eNAMETOOLONG = uapi.Errno(unix.ENAMETOOLONG)
	eOVERFLOW    = uapi.Errno(unix.EOVERFLOW)
	eBADFD       = uapi.Errno(unix.EBADFD)
	eBADMSG      = uapi.Errno(unix.EBADMSG)
	eNOKEY       = uapi.Errno(unix.ENOKEY)
	eKEYREJECTED = uapi.Errno(unix.EKEYREJECTED)
	eNXIO        = uapi.Errno(unix.ENXIO)
	eNOLINK      = uapi.Errno(unix.ENOLINK)
	eOPNOTSUPP   = uapi.Errno(unix.EOPNOTSUPP)
	eNOTSUPP     = uapi.ENOTSUPP
)
