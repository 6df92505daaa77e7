"""Running compiled programs: native code, launchers, threads.  Import the modules by name."""
