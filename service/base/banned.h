/* Functions that have no safe use here; naming one is a compile error. Include last, from .c files. Owns nothing. */
#ifndef FERROD_BASE_BANNED_H
#define FERROD_BASE_BANNED_H

/* libc makes macros of these: alloca always, the printf family with clang and _FORTIFY_SOURCE */
#undef alloca
#undef sprintf
#undef vsprintf
#pragma GCC poison strcpy strcat sprintf vsprintf strtok atoi atol atoll atof gmtime localtime system alloca

#endif
