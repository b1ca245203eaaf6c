#ifndef CK_MEMORY_H
#define CK_MEMORY_H

/// From here on freed blocks of a megabyte and more go back to the system at once. Otherwise glibc keeps
/// what lies between blocks that live on: as much again as a model that is quantized while it is read.
void ck_return_freed_blocks(void);

#endif
