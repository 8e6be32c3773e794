#include "base/rcu.h"

#ifdef KLAMM_TSAN
char rcu_readers;
#endif
