"""What a Python function reads outside its arguments, and whether it is still the same.

reads      `take(function)`: start here; names, attributes, items
calls      what each kind of call may read
contents   deep snapshots of lists, dicts, objects; methods by name
ledger     the shared state of one analysis
frames     the abstract machine that walks bytecode
instructions
           those that only move values, as a table
values     what it knows of each value: fresh, captured, or exactly this object
guards     the checks, compiled into one small function
snapshot   leaves and shallow records
trust      lists of pure, impure and writing names
"""
