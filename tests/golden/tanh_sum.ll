declare <8 x double> @tj_tanh_f64x8(<8 x double>) nounwind willreturn memory(none)
declare void @tj_tail_in(ptr, ptr, ptr, i64, i64, i64) nounwind
declare void @tj_tail_out(ptr, ptr, ptr, i64, i64, i64) nounwind
declare void @tj_tail_keep(ptr, ptr, i64, i64, i64) nounwind
declare double @tj_tree_sum_f64x8(ptr) nounwind
declare void @tj_total_sum_f64(ptr, i64, ptr) nounwind
@tanh_sum_f64_2 = private constant <8 x double> splat (double 0x3FF0000000000000), align 64
@tanh_sum_tail = private constant [2 x [4 x i64]] [[4 x i64] [i64 0, i64 8, i64 1, i64 4607182418800017408], [4 x i64] [i64 4, i64 8, i64 2, i64 4607182418800017408]], align 64
define void @tanh_sum(ptr %args, ptr %meta, i64 %begin, i64 %end) nounwind alignstack(64) {
entry:
%state = alloca [7 x i64], align 64
%pads = alloca [2 x [128 x i8]], align 64
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
%at0 = getelementptr i64, ptr %state, i64 0
store ptr %b0_0, ptr %at0
%at1 = getelementptr i64, ptr %state, i64 2
store ptr %arg1, ptr %at1
%b2_0 = getelementptr double, ptr %arg2, i64 %x0
%at2 = getelementptr i64, ptr %state, i64 4
store ptr %b2_0, ptr %at2
store <8 x double> splat (double 0x0000000000000000), ptr %sum0, align 64
%full = and i64 %count, -8
%wide_end = and i64 %count, -16
%has_wide = icmp ne i64 %wide_end, 0
br i1 %has_wide, label %wide, label %narrow
wide:
%i0 = phi i64 [ 0, %unit ], [ %i_wide, %wide ]
%v5ba = getelementptr i64, ptr %state, i64 0
%v5b = load ptr, ptr %v5ba
%v5p = getelementptr double, ptr %v5b, i64 %i0
%v5 = load <8 x double>, ptr %v5p, align 8
%v6 = call <8 x double> @tj_tanh_f64x8(<8 x double> %v5)
%v8 = fmul <8 x double> %v6, %v6
%l_f64_2_5 = load <8 x double>, ptr @tanh_sum_f64_2, align 64
%v9 = fsub <8 x double> %l_f64_2_5, %v8
%i1 = add i64 %i0, 8
%v10ba = getelementptr i64, ptr %state, i64 0
%v10b = load ptr, ptr %v10ba
%v10p = getelementptr double, ptr %v10b, i64 %i1
%v10 = load <8 x double>, ptr %v10p, align 8
%v11 = call <8 x double> @tj_tanh_f64x8(<8 x double> %v10)
%v13 = fmul <8 x double> %v11, %v11
%l_f64_2_10 = load <8 x double>, ptr @tanh_sum_f64_2, align 64
%v14 = fsub <8 x double> %l_f64_2_10, %v13
%o0_t2_0 = fadd <8 x double> %v6, %v11
%before0_1 = load <8 x double>, ptr %sum0, align 64
%after0_1 = fadd <8 x double> %before0_1, %o0_t2_0
store <8 x double> %after0_1, ptr %sum0, align 64
%o1w0wba = getelementptr i64, ptr %state, i64 4
%o1w0wb = load ptr, ptr %o1w0wba
%o1w0wp = getelementptr double, ptr %o1w0wb, i64 %i0
store <8 x double> %v9, ptr %o1w0wp, align 8
%o1w1wba = getelementptr i64, ptr %state, i64 4
%o1w1wb = load ptr, ptr %o1w1wba
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
%v0ba = getelementptr i64, ptr %state, i64 0
%v0b = load ptr, ptr %v0ba
%v0p = getelementptr double, ptr %v0b, i64 %i
%v0 = load <8 x double>, ptr %v0p, align 8
%v1 = call <8 x double> @tj_tanh_f64x8(<8 x double> %v0)
%v3 = fmul <8 x double> %v1, %v1
%l_f64_2_0 = load <8 x double>, ptr @tanh_sum_f64_2, align 64
%v4 = fsub <8 x double> %l_f64_2_0, %v3
%before0_0 = load <8 x double>, ptr %sum0, align 64
%after0_0 = fadd <8 x double> %before0_0, %v1
store <8 x double> %after0_0, ptr %sum0, align 64
%o1wba = getelementptr i64, ptr %state, i64 4
%o1wb = load ptr, ptr %o1wba
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
call void @tj_tail_in(ptr %state, ptr %pads, ptr @tanh_sum_tail, i64 2, i64 %full, i64 %left)
%keep0 = load <8 x double>, ptr %sum0, align 64
store <8 x double> %keep0, ptr %old0, align 64
br label %loop
whole:
%is_padded = icmp slt i64 %left, 0
br i1 %is_padded, label %unpad, label %unit_end
unpad:
%r = sub i64 %count, %full
call void @tj_tail_out(ptr %state, ptr %pads, ptr @tanh_sum_tail, i64 2, i64 %full, i64 %r)
call void @tj_tail_keep(ptr %sum0, ptr %old0, i64 8, i64 %r, i64 8)
br label %unit_end
unit_end:
%all0 = call double @tj_tree_sum_f64x8(ptr %sum0)
%place0 = getelementptr double, ptr %scratch0, i64 %u
store double %all0, ptr %place0
%u_next = add i64 %u, 1
br label %units
exit:
ret void
}
define void @tanh_sum_finish(ptr %args, ptr %meta) nounwind {
entry:
%n0m = getelementptr i64, ptr %meta, i64 0
%n0 = load i64, ptr %n0m
%arg1m = getelementptr ptr, ptr %args, i64 1
%arg1 = load ptr, ptr %arg1m
%scratch0m = getelementptr ptr, ptr %args, i64 3
%scratch0 = load ptr, ptr %scratch0m
%n0up = add i64 %n0, 4095
%units = sdiv i64 %n0up, 4096
call void @tj_total_sum_f64(ptr %scratch0, i64 %units, ptr %arg1)
ret void
}
