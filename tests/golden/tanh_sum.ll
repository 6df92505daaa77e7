declare <8 x double> @tj_tanh_f64x8(<8 x double>) nounwind willreturn memory(none)
define void @tanh_sum(ptr %args, ptr %meta, i64 %begin, i64 %end) nounwind alignstack(64) {
entry:
%at0 = alloca ptr
%at1 = alloca ptr
%at2 = alloca ptr
%buffer0 = alloca <8 x double>, align 64
%buffer2 = alloca <8 x double>, align 64
%sum0 = alloca <8 x double>, align 64
%old0 = alloca <8 x double>, align 64
%n0m = getelementptr i64, ptr %meta, i64 0
%n0 = load i64, ptr %n0m
%arg0m = getelementptr ptr, ptr %args, i64 0
%arg0 = load ptr, ptr %arg0m
%arg1m = getelementptr ptr, ptr %args, i64 1
%arg1 = load ptr, ptr %arg1m
%arg2m = getelementptr ptr, ptr %args, i64 2
%arg2 = load ptr, ptr %arg2m
%scratch0m = getelementptr ptr, ptr %args, i64 3
%scratch0 = load ptr, ptr %scratch0m
br label %units
units:
%u = phi i64 [ %begin, %entry ], [ %u_next, %unit_end ]
%u_more = icmp slt i64 %u, %end
br i1 %u_more, label %unit, label %exit
unit:
%x0 = mul i64 %u, 4096
%behind = sub i64 %n0, %x0
%is_last = icmp slt i64 %behind, 4096
%count = select i1 %is_last, i64 %behind, i64 4096
%b0_0 = getelementptr double, ptr %arg0, i64 %x0
%base0 = getelementptr double, ptr %b0_0, i64 0
store ptr %base0, ptr %at0
%base1 = getelementptr double, ptr %arg1, i64 0
store ptr %base1, ptr %at1
%b2_0 = getelementptr double, ptr %arg2, i64 %x0
%base2 = getelementptr double, ptr %b2_0, i64 0
store ptr %base2, ptr %at2
store <8 x double> splat (double 0x0000000000000000), ptr %sum0, align 64
%full = and i64 %count, -8
%wide_end = and i64 %count, -16
%has_wide = icmp ne i64 %wide_end, 0
br i1 %has_wide, label %wide, label %narrow
wide:
%i0 = phi i64 [ 0, %unit ], [ %i_wide, %wide ]
%v5b = load ptr, ptr %at0
%v5p = getelementptr double, ptr %v5b, i64 %i0
%v5 = load <8 x double>, ptr %v5p, align 8
%v6 = call <8 x double> @tj_tanh_f64x8(<8 x double> %v5)
%v8 = fmul <8 x double> %v6, %v6
%v9 = fsub <8 x double> splat (double 0x3FF0000000000000), %v8
%i1 = add i64 %i0, 8
%v10b = load ptr, ptr %at0
%v10p = getelementptr double, ptr %v10b, i64 %i1
%v10 = load <8 x double>, ptr %v10p, align 8
%v11 = call <8 x double> @tj_tanh_f64x8(<8 x double> %v10)
%v13 = fmul <8 x double> %v11, %v11
%v14 = fsub <8 x double> splat (double 0x3FF0000000000000), %v13
%o0_t2_0 = fadd <8 x double> %v6, %v11
%before0_1 = load <8 x double>, ptr %sum0, align 64
%after0_1 = fadd <8 x double> %before0_1, %o0_t2_0
store <8 x double> %after0_1, ptr %sum0, align 64
%o1w0wb = load ptr, ptr %at2
%o1w0wp = getelementptr double, ptr %o1w0wb, i64 %i0
store <8 x double> %v9, ptr %o1w0wp, align 8
%o1w1wb = load ptr, ptr %at2
%o1w1wp = getelementptr double, ptr %o1w1wb, i64 %i1
store <8 x double> %v14, ptr %o1w1wp, align 8
%i_wide = add i64 %i0, 16
%is_wide = icmp slt i64 %i_wide, %wide_end
br i1 %is_wide, label %wide, label %narrow
narrow:
%has_narrow = icmp slt i64 %wide_end, %full
br i1 %has_narrow, label %loop, label %rest
loop:
%i = phi i64 [ %wide_end, %narrow ], [ %j, %loop ], [ %full, %tail ]
%v0b = load ptr, ptr %at0
%v0p = getelementptr double, ptr %v0b, i64 %i
%v0 = load <8 x double>, ptr %v0p, align 8
%v1 = call <8 x double> @tj_tanh_f64x8(<8 x double> %v0)
%v3 = fmul <8 x double> %v1, %v1
%v4 = fsub <8 x double> splat (double 0x3FF0000000000000), %v3
%before0_0 = load <8 x double>, ptr %sum0, align 64
%after0_0 = fadd <8 x double> %before0_0, %v1
store <8 x double> %after0_0, ptr %sum0, align 64
%o1wb = load ptr, ptr %at2
%o1wp = getelementptr double, ptr %o1wb, i64 %i
store <8 x double> %v4, ptr %o1wp, align 8
%j = add i64 %i, 8
%more = icmp slt i64 %j, %full
br i1 %more, label %loop, label %rest
rest:
%done = phi i64 [ %wide_end, %narrow ], [ %j, %loop ]
%left = sub i64 %count, %done
%is_partly = icmp sgt i64 %left, 0
br i1 %is_partly, label %tail, label %whole
tail:
%back = sub i64 0, %full
store <8 x double> splat (double 0x3FF0000000000000), ptr %buffer0, align 64
%tp0 = getelementptr double, ptr %base0, i64 %full
call void @tanh_sum_copy8(ptr %buffer0, i64 1, ptr %tp0, i64 1, i64 %left)
%tb0 = getelementptr double, ptr %buffer0, i64 %back
store ptr %tb0, ptr %at0
%tb2 = getelementptr double, ptr %buffer2, i64 %back
store ptr %tb2, ptr %at2
%keep0 = load <8 x double>, ptr %sum0, align 64
store <8 x double> %keep0, ptr %old0, align 64
br label %loop
whole:
%is_padded = icmp slt i64 %left, 0
br i1 %is_padded, label %unpad, label %unit_end
unpad:
%r = sub i64 %count, %full
%rp2 = getelementptr double, ptr %base2, i64 %full
call void @tanh_sum_copy8(ptr %rp2, i64 1, ptr %buffer2, i64 1, i64 %r)
%r32 = trunc i64 %r to i32
%rsf = insertelement <8 x i32> poison, i32 %r32, i32 0
%rs = shufflevector <8 x i32> %rsf, <8 x i32> poison, <8 x i32> zeroinitializer
%is_real = icmp slt <8 x i32> <i32 0, i32 1, i32 2, i32 3, i32 4, i32 5, i32 6, i32 7>, %rs
%pad0 = load <8 x double>, ptr %sum0, align 64
%was0 = load <8 x double>, ptr %old0, align 64
%real0 = select <8 x i1> %is_real, <8 x double> %pad0, <8 x double> %was0
store <8 x double> %real0, ptr %sum0, align 64
br label %unit_end
unit_end:
%lanes0 = load <8 x double>, ptr %sum0, align 64
%lanes0_lo4 = shufflevector <8 x double> %lanes0, <8 x double> poison, <4 x i32> <i32 0, i32 1, i32 2, i32 3>
%lanes0_hi4 = shufflevector <8 x double> %lanes0, <8 x double> poison, <4 x i32> <i32 4, i32 5, i32 6, i32 7>
%lanes0_4 = fadd <4 x double> %lanes0_lo4, %lanes0_hi4
%lanes0_lo2 = shufflevector <4 x double> %lanes0_4, <4 x double> poison, <2 x i32> <i32 0, i32 1>
%lanes0_hi2 = shufflevector <4 x double> %lanes0_4, <4 x double> poison, <2 x i32> <i32 2, i32 3>
%lanes0_2 = fadd <2 x double> %lanes0_lo2, %lanes0_hi2
%lanes0_e0 = extractelement <2 x double> %lanes0_2, i32 0
%lanes0_e1 = extractelement <2 x double> %lanes0_2, i32 1
%lanes0_all = fadd double %lanes0_e0, %lanes0_e1
%place0 = getelementptr double, ptr %scratch0, i64 %u
store double %lanes0_all, ptr %place0
%u_next = add i64 %u, 1
br label %units
exit:
ret void
}
define internal void @tanh_sum_copy8(ptr %to, i64 %by, ptr %from, i64 %step, i64 %n) nounwind {
entry:
br label %one
one:
%e = phi i64 [ 0, %entry ], [ %next, %one ]
%f = mul i64 %e, %step
%g = getelementptr i64, ptr %from, i64 %f
%x = load i64, ptr %g
%t = mul i64 %e, %by
%h = getelementptr i64, ptr %to, i64 %t
store i64 %x, ptr %h
%next = add i64 %e, 1
%more = icmp slt i64 %next, %n
br i1 %more, label %one, label %done
done:
ret void
}
define void @tanh_sum_finish(ptr %args, ptr %meta) nounwind {
entry:
%sum0 = alloca <8 x double>, align 64
%n0m = getelementptr i64, ptr %meta, i64 0
%n0 = load i64, ptr %n0m
%arg1m = getelementptr ptr, ptr %args, i64 1
%arg1 = load ptr, ptr %arg1m
%scratch0m = getelementptr ptr, ptr %args, i64 3
%scratch0 = load ptr, ptr %scratch0m
%n0up = add i64 %n0, 4095
%units = sdiv i64 %n0up, 4096
store <8 x double> splat (double 0x0000000000000000), ptr %sum0, align 64
br label %gather0
gather0:
%e0 = phi i64 [ 0, %entry ], [ %e0n, %take0 ]
%e0m = icmp slt i64 %e0, %units
br i1 %e0m, label %take0, label %gathered0
take0:
%p0 = getelementptr double, ptr %scratch0, i64 %e0
%x0 = load double, ptr %p0
%lane0 = and i64 %e0, 7
%q0 = getelementptr double, ptr %sum0, i64 %lane0
%a0 = load double, ptr %q0
%c0 = fadd double %a0, %x0
store double %c0, ptr %q0
%e0n = add i64 %e0, 1
br label %gather0
gathered0:
%lanes0 = load <8 x double>, ptr %sum0, align 64
%lanes0_lo4 = shufflevector <8 x double> %lanes0, <8 x double> poison, <4 x i32> <i32 0, i32 1, i32 2, i32 3>
%lanes0_hi4 = shufflevector <8 x double> %lanes0, <8 x double> poison, <4 x i32> <i32 4, i32 5, i32 6, i32 7>
%lanes0_4 = fadd <4 x double> %lanes0_lo4, %lanes0_hi4
%lanes0_lo2 = shufflevector <4 x double> %lanes0_4, <4 x double> poison, <2 x i32> <i32 0, i32 1>
%lanes0_hi2 = shufflevector <4 x double> %lanes0_4, <4 x double> poison, <2 x i32> <i32 2, i32 3>
%lanes0_2 = fadd <2 x double> %lanes0_lo2, %lanes0_hi2
%lanes0_e0 = extractelement <2 x double> %lanes0_2, i32 0
%lanes0_e1 = extractelement <2 x double> %lanes0_2, i32 1
%lanes0_all = fadd double %lanes0_e0, %lanes0_e1
store double %lanes0_all, ptr %arg1
ret void
}
