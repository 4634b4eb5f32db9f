package main

/*
#cgo LDFLAGS: -lcrypt
#include <crypt.h>
#include <stdlib.h>
*/
import "C"

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"
)

// crypt hashes a password for /etc/shadow. setting is the start of the hash: the method and the salt.
func crypt(password, setting string) (string, error) {
	if strings.ContainsRune(password+setting, 0) {
		return "", errors.New("a password or salt with a NUL byte")
	}
	p, s := C.CString(password), C.CString(setting)
	defer C.free(unsafe.Pointer(p))
	defer C.free(unsafe.Pointer(s))
	data := (*C.struct_crypt_data)(C.calloc(1, C.sizeof_struct_crypt_data))
	defer C.free(unsafe.Pointer(data))
	hash, err := C.crypt_r(p, s, data)
	if hash == nil {
		return "", fmt.Errorf("crypt(3): %w", err)
	}
	text := C.GoString(hash)
	if strings.HasPrefix(text, "*") { // how libxcrypt tells of a failure
		return "", fmt.Errorf("crypt(3) doesn't know the method of %q", setting)
	}
	return text, nil
}
