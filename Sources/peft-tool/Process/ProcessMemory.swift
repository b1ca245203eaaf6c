#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What this process has used.
enum ProcessMemory {
  /// The most bytes that were resident at one time.
  static var peakBytes: Int {
    var usage = rusage()
    #if canImport(Darwin)
      getrusage(RUSAGE_SELF, &usage)
      return Int(usage.ru_maxrss)
    #else
      // RUSAGE_SELF, whose Swift type differs among C libraries.
      getrusage(0, &usage)
      return Int(usage.ru_maxrss) * 1024
    #endif
  }

  /// Cores of this machine that the process may use.
  static var coreCount: Int { max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }
}
