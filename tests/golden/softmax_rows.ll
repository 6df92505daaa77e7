declare <8 x double> @llvm.maximum.v8f64(<8 x double>, <8 x double>)
declare void @tj_tail_in(ptr, ptr, ptr, i64, i64, i64) nounwind
declare void @tj_tail_out(ptr, ptr, ptr, i64, i64, i64) nounwind
declare void @tj_tail_keep(ptr, ptr, i64, i64, i64) nounwind
declare double @tj_tree_max_f64x8(ptr) nounwind
declare double @llvm.maximum.f64(double, double)
declare <8 x double> @tj_exp_f64x8(<8 x double>) nounwind willreturn memory(none)
declare double @tj_tree_sum_f64x8(ptr) nounwind
@softmax_rows_0_tail = private constant [1 x [4 x i64]] [[4 x i64] [i64 0, i64 8, i64 1, i64 4607182418800017408]], align 64
define internal void @softmax_rows_0(ptr %args, ptr %meta, i64 %begin, i64 %end) nounwind alignstack(64) {
entry:
%state = alloca [6 x i64], align 64
%pads = alloca [1 x [128 x i8]], align 64
%sum0 = alloca <8 x double>, align 64
%old0 = alloca <8 x double>, align 64
%n0m = getelementptr i64, ptr %meta, i64 0
%n0 = load i64, ptr %n0m
%n1m = getelementptr i64, ptr %meta, i64 1
%n1 = load i64, ptr %n1m
%arg0m = getelementptr ptr, ptr %args, i64 0
%arg0 = load ptr, ptr %arg0m
%s0_0m = getelementptr i64, ptr %meta, i64 2
%s0_0 = load i64, ptr %s0_0m
%arg1m = getelementptr ptr, ptr %args, i64 1
%arg1 = load ptr, ptr %arg1m
%s1_0m = getelementptr i64, ptr %meta, i64 4
%s1_0 = load i64, ptr %s1_0m
br label %units
units:
%u = phi i64 [ %begin, %entry ], [ %u_next, %unit_end ]
%u_more = icmp slt i64 %u, %end
br i1 %u_more, label %unit, label %exit
unit:
%x0 = add i64 %u, 0
%count = add i64 %n1, 0
%d0_0 = mul i64 %x0, %s0_0
%b0_0 = getelementptr double, ptr %arg0, i64 %d0_0
%at0 = getelementptr i64, ptr %state, i64 0
store ptr %b0_0, ptr %at0
%d1_0 = mul i64 %x0, %s1_0
%b1_0 = getelementptr double, ptr %arg1, i64 %d1_0
%at1 = getelementptr i64, ptr %state, i64 2
store ptr %b1_0, ptr %at1
store <8 x double> splat (double 0xFFF0000000000000), ptr %sum0, align 64
%full = and i64 %count, -8
%wide_end = and i64 %count, -32
%has_wide = icmp ne i64 %wide_end, 0
br i1 %has_wide, label %wide, label %narrow
wide:
%i0 = phi i64 [ 0, %unit ], [ %i_wide, %wide ]
%v1ba = getelementptr i64, ptr %state, i64 0
%v1b = load ptr, ptr %v1ba
%v1p = getelementptr double, ptr %v1b, i64 %i0
%v1 = load <8 x double>, ptr %v1p, align 8
%i1 = add i64 %i0, 8
%v2ba = getelementptr i64, ptr %state, i64 0
%v2b = load ptr, ptr %v2ba
%v2p = getelementptr double, ptr %v2b, i64 %i1
%v2 = load <8 x double>, ptr %v2p, align 8
%i2 = add i64 %i0, 16
%v3ba = getelementptr i64, ptr %state, i64 0
%v3b = load ptr, ptr %v3ba
%v3p = getelementptr double, ptr %v3b, i64 %i2
%v3 = load <8 x double>, ptr %v3p, align 8
%i3 = add i64 %i0, 24
%v4ba = getelementptr i64, ptr %state, i64 0
%v4b = load ptr, ptr %v4ba
%v4p = getelementptr double, ptr %v4b, i64 %i3
%v4 = load <8 x double>, ptr %v4p, align 8
%o0_t4_0 = call <8 x double> @llvm.maximum.v8f64(<8 x double> %v1, <8 x double> %v2)
%o0_t4_1 = call <8 x double> @llvm.maximum.v8f64(<8 x double> %v3, <8 x double> %v4)
%o0_t2_0 = call <8 x double> @llvm.maximum.v8f64(<8 x double> %o0_t4_0, <8 x double> %o0_t4_1)
%before0_3 = load <8 x double>, ptr %sum0, align 64
%after0_3 = call <8 x double> @llvm.maximum.v8f64(<8 x double> %before0_3, <8 x double> %o0_t2_0)
store <8 x double> %after0_3, ptr %sum0, align 64
%i_wide = add i64 %i0, 32
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
%before0_0 = load <8 x double>, ptr %sum0, align 64
%after0_0 = call <8 x double> @llvm.maximum.v8f64(<8 x double> %before0_0, <8 x double> %v0)
store <8 x double> %after0_0, ptr %sum0, align 64
%j = add i64 %i, 8
%more = icmp slt i64 %j, %full
br i1 %more, label %loop, label %rest
rest:
%done = phi i64 [ %wide_end, %narrow ], [ %j, %loop ]
%left = sub i64 %count, %done
%is_partly = icmp sgt i64 %left, 0
br i1 %is_partly, label %tail, label %whole
tail:
call void @tj_tail_in(ptr %state, ptr %pads, ptr @softmax_rows_0_tail, i64 1, i64 %full, i64 %left)
%keep0 = load <8 x double>, ptr %sum0, align 64
store <8 x double> %keep0, ptr %old0, align 64
br label %loop
whole:
%is_padded = icmp slt i64 %left, 0
br i1 %is_padded, label %unpad, label %unit_end
unpad:
%r = sub i64 %count, %full
call void @tj_tail_out(ptr %state, ptr %pads, ptr @softmax_rows_0_tail, i64 1, i64 %full, i64 %r)
call void @tj_tail_keep(ptr %sum0, ptr %old0, i64 8, i64 %r, i64 8)
br label %unit_end
unit_end:
%all0 = call double @tj_tree_max_f64x8(ptr %sum0)
%kept0 = load double, ptr %b1_0
%joined0 = call double @llvm.maximum.f64(double %kept0, double %all0)
store double %joined0, ptr %b1_0
%u_next = add i64 %u, 1
br label %units
exit:
ret void
}
define internal void @softmax_rows_0_start(ptr %args, ptr %meta) nounwind {
entry:
%n0m = getelementptr i64, ptr %meta, i64 0
%n0 = load i64, ptr %n0m
%n1m = getelementptr i64, ptr %meta, i64 1
%n1 = load i64, ptr %n1m
%arg1m = getelementptr ptr, ptr %args, i64 1
%arg1 = load ptr, ptr %arg1m
%s1_0m = getelementptr i64, ptr %meta, i64 4
%s1_0 = load i64, ptr %s1_0m
%size0_0 = mul i64 1, %n0
br label %fill0
fill0:
%e0 = phi i64 [ 0, %entry ], [ %e0n, %set0 ]
%e0m = icmp slt i64 %e0, %size0_0
br i1 %e0m, label %set0, label %filled0
set0:
%y0_0 = urem i64 %e0, %n0
%y0_0q = udiv i64 %e0, %n0
%y0_0o = mul i64 %y0_0, %s1_0
%y0_0p = getelementptr double, ptr %arg1, i64 %y0_0o
store double 0xFFF0000000000000, ptr %y0_0p
%e0n = add i64 %e0, 1
br label %fill0
filled0:
ret void
}
@softmax_rows_1_tail = private constant [2 x [4 x i64]] [[4 x i64] [i64 0, i64 8, i64 1, i64 4607182418800017408], [4 x i64] [i64 4, i64 8, i64 2, i64 4607182418800017408]], align 64
define internal void @softmax_rows_1(ptr %args, ptr %meta, i64 %begin, i64 %end) nounwind alignstack(64) {
entry:
%state = alloca [10 x i64], align 64
%pads = alloca [2 x [128 x i8]], align 64
%sum1 = alloca <8 x double>, align 64
%old1 = alloca <8 x double>, align 64
%n0m = getelementptr i64, ptr %meta, i64 0
%n0 = load i64, ptr %n0m
%n1m = getelementptr i64, ptr %meta, i64 1
%n1 = load i64, ptr %n1m
%arg0m = getelementptr ptr, ptr %args, i64 0
%arg0 = load ptr, ptr %arg0m
%s0_0m = getelementptr i64, ptr %meta, i64 2
%s0_0 = load i64, ptr %s0_0m
%arg1m = getelementptr ptr, ptr %args, i64 1
%arg1 = load ptr, ptr %arg1m
%s1_0m = getelementptr i64, ptr %meta, i64 4
%s1_0 = load i64, ptr %s1_0m
%arg2m = getelementptr ptr, ptr %args, i64 2
%arg2 = load ptr, ptr %arg2m
%s2_0m = getelementptr i64, ptr %meta, i64 6
%s2_0 = load i64, ptr %s2_0m
%arg3m = getelementptr ptr, ptr %args, i64 3
%arg3 = load ptr, ptr %arg3m
%s3_0m = getelementptr i64, ptr %meta, i64 8
%s3_0 = load i64, ptr %s3_0m
br label %units
units:
%u = phi i64 [ %begin, %entry ], [ %u_next, %unit_end ]
%u_more = icmp slt i64 %u, %end
br i1 %u_more, label %unit, label %exit
unit:
%x0 = add i64 %u, 0
%count = add i64 %n1, 0
%d0_0 = mul i64 %x0, %s0_0
%b0_0 = getelementptr double, ptr %arg0, i64 %d0_0
%at0 = getelementptr i64, ptr %state, i64 0
store ptr %b0_0, ptr %at0
%d1_0 = mul i64 %x0, %s1_0
%b1_0 = getelementptr double, ptr %arg1, i64 %d1_0
%at1 = getelementptr i64, ptr %state, i64 2
store ptr %b1_0, ptr %at1
%d2_0 = mul i64 %x0, %s2_0
%b2_0 = getelementptr double, ptr %arg2, i64 %d2_0
%at2 = getelementptr i64, ptr %state, i64 4
store ptr %b2_0, ptr %at2
%d3_0 = mul i64 %x0, %s3_0
%b3_0 = getelementptr double, ptr %arg3, i64 %d3_0
%at3 = getelementptr i64, ptr %state, i64 6
store ptr %b3_0, ptr %at3
store <8 x double> splat (double 0x0000000000000000), ptr %sum1, align 64
%v1ba = getelementptr i64, ptr %state, i64 2
%v1b = load ptr, ptr %v1ba
%v1e = load double, ptr %v1b
%v1f = insertelement <8 x double> poison, double %v1e, i32 0
%v1 = shufflevector <8 x double> %v1f, <8 x double> poison, <8 x i32> zeroinitializer
%full = and i64 %count, -8
%wide_end = and i64 %count, -16
%has_wide = icmp ne i64 %wide_end, 0
br i1 %has_wide, label %wide, label %narrow
wide:
%i0 = phi i64 [ 0, %unit ], [ %i_wide, %wide ]
%v4ba = getelementptr i64, ptr %state, i64 0
%v4b = load ptr, ptr %v4ba
%v4p = getelementptr double, ptr %v4b, i64 %i0
%v4 = load <8 x double>, ptr %v4p, align 8
%v6 = fsub <8 x double> %v4, %v1
%v7 = call <8 x double> @tj_exp_f64x8(<8 x double> %v6)
%i1 = add i64 %i0, 8
%v8ba = getelementptr i64, ptr %state, i64 0
%v8b = load ptr, ptr %v8ba
%v8p = getelementptr double, ptr %v8b, i64 %i1
%v8 = load <8 x double>, ptr %v8p, align 8
%v10 = fsub <8 x double> %v8, %v1
%v11 = call <8 x double> @tj_exp_f64x8(<8 x double> %v10)
%o0w0wba = getelementptr i64, ptr %state, i64 4
%o0w0wb = load ptr, ptr %o0w0wba
%o0w0wp = getelementptr double, ptr %o0w0wb, i64 %i0
store <8 x double> %v7, ptr %o0w0wp, align 8
%o0w1wba = getelementptr i64, ptr %state, i64 4
%o0w1wb = load ptr, ptr %o0w1wba
%o0w1wp = getelementptr double, ptr %o0w1wb, i64 %i1
store <8 x double> %v11, ptr %o0w1wp, align 8
%o1_t2_0 = fadd <8 x double> %v7, %v11
%before1_1 = load <8 x double>, ptr %sum1, align 64
%after1_1 = fadd <8 x double> %before1_1, %o1_t2_0
store <8 x double> %after1_1, ptr %sum1, align 64
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
%v2 = fsub <8 x double> %v0, %v1
%v3 = call <8 x double> @tj_exp_f64x8(<8 x double> %v2)
%o0wba = getelementptr i64, ptr %state, i64 4
%o0wb = load ptr, ptr %o0wba
%o0wp = getelementptr double, ptr %o0wb, i64 %i
store <8 x double> %v3, ptr %o0wp, align 8
%before1_0 = load <8 x double>, ptr %sum1, align 64
%after1_0 = fadd <8 x double> %before1_0, %v3
store <8 x double> %after1_0, ptr %sum1, align 64
%j = add i64 %i, 8
%more = icmp slt i64 %j, %full
br i1 %more, label %loop, label %rest
rest:
%done = phi i64 [ %wide_end, %narrow ], [ %j, %loop ]
%left = sub i64 %count, %done
%is_partly = icmp sgt i64 %left, 0
br i1 %is_partly, label %tail, label %whole
tail:
call void @tj_tail_in(ptr %state, ptr %pads, ptr @softmax_rows_1_tail, i64 2, i64 %full, i64 %left)
%keep1 = load <8 x double>, ptr %sum1, align 64
store <8 x double> %keep1, ptr %old1, align 64
br label %loop
whole:
%is_padded = icmp slt i64 %left, 0
br i1 %is_padded, label %unpad, label %unit_end
unpad:
%r = sub i64 %count, %full
call void @tj_tail_out(ptr %state, ptr %pads, ptr @softmax_rows_1_tail, i64 2, i64 %full, i64 %r)
call void @tj_tail_keep(ptr %sum1, ptr %old1, i64 8, i64 %r, i64 8)
br label %unit_end
unit_end:
%all1 = call double @tj_tree_sum_f64x8(ptr %sum1)
%kept1 = load double, ptr %b3_0
%joined1 = fadd double %kept1, %all1
store double %joined1, ptr %b3_0
%u_next = add i64 %u, 1
br label %units
exit:
ret void
}
define internal void @softmax_rows_1_start(ptr %args, ptr %meta) nounwind {
entry:
%n0m = getelementptr i64, ptr %meta, i64 0
%n0 = load i64, ptr %n0m
%n1m = getelementptr i64, ptr %meta, i64 1
%n1 = load i64, ptr %n1m
%arg3m = getelementptr ptr, ptr %args, i64 3
%arg3 = load ptr, ptr %arg3m
%s3_0m = getelementptr i64, ptr %meta, i64 8
%s3_0 = load i64, ptr %s3_0m
%size1_0 = mul i64 1, %n0
br label %fill1
fill1:
%e1 = phi i64 [ 0, %entry ], [ %e1n, %set1 ]
%e1m = icmp slt i64 %e1, %size1_0
br i1 %e1m, label %set1, label %filled1
set1:
%y1_0 = urem i64 %e1, %n0
%y1_0q = udiv i64 %e1, %n0
%y1_0o = mul i64 %y1_0, %s3_0
%y1_0p = getelementptr double, ptr %arg3, i64 %y1_0o
store double 0x0000000000000000, ptr %y1_0p
%e1n = add i64 %e1, 1
br label %fill1
filled1:
ret void
}
@softmax_rows_2_tail = private constant [2 x [4 x i64]] [[4 x i64] [i64 0, i64 8, i64 1, i64 4607182418800017408], [4 x i64] [i64 4, i64 8, i64 2, i64 4607182418800017408]], align 64
define internal void @softmax_rows_2(ptr %args, ptr %meta, i64 %begin, i64 %end) nounwind alignstack(64) {
entry:
%state = alloca [8 x i64], align 64
%pads = alloca [2 x [128 x i8]], align 64
%n0m = getelementptr i64, ptr %meta, i64 0
%n0 = load i64, ptr %n0m
%n1m = getelementptr i64, ptr %meta, i64 1
%n1 = load i64, ptr %n1m
%arg0m = getelementptr ptr, ptr %args, i64 0
%arg0 = load ptr, ptr %arg0m
%s0_0m = getelementptr i64, ptr %meta, i64 2
%s0_0 = load i64, ptr %s0_0m
%arg1m = getelementptr ptr, ptr %args, i64 1
%arg1 = load ptr, ptr %arg1m
%s1_0m = getelementptr i64, ptr %meta, i64 4
%s1_0 = load i64, ptr %s1_0m
%arg2m = getelementptr ptr, ptr %args, i64 2
%arg2 = load ptr, ptr %arg2m
%s2_0m = getelementptr i64, ptr %meta, i64 6
%s2_0 = load i64, ptr %s2_0m
br label %units
units:
%u = phi i64 [ %begin, %entry ], [ %u_next, %unit_end ]
%u_more = icmp slt i64 %u, %end
br i1 %u_more, label %unit, label %exit
unit:
%x0 = add i64 %u, 0
%count = add i64 %n1, 0
%d0_0 = mul i64 %x0, %s0_0
%b0_0 = getelementptr double, ptr %arg0, i64 %d0_0
%at0 = getelementptr i64, ptr %state, i64 0
store ptr %b0_0, ptr %at0
%d1_0 = mul i64 %x0, %s1_0
%b1_0 = getelementptr double, ptr %arg1, i64 %d1_0
%at1 = getelementptr i64, ptr %state, i64 2
store ptr %b1_0, ptr %at1
%d2_0 = mul i64 %x0, %s2_0
%b2_0 = getelementptr double, ptr %arg2, i64 %d2_0
%at2 = getelementptr i64, ptr %state, i64 4
store ptr %b2_0, ptr %at2
%v1ba = getelementptr i64, ptr %state, i64 2
%v1b = load ptr, ptr %v1ba
%v1e = load double, ptr %v1b
%v1f = insertelement <8 x double> poison, double %v1e, i32 0
%v1 = shufflevector <8 x double> %v1f, <8 x double> poison, <8 x i32> zeroinitializer
%full = and i64 %count, -8
%wide_end = and i64 %count, -32
%has_wide = icmp ne i64 %wide_end, 0
br i1 %has_wide, label %wide, label %narrow
wide:
%i0 = phi i64 [ 0, %unit ], [ %i_wide, %wide ]
%v3ba = getelementptr i64, ptr %state, i64 0
%v3b = load ptr, ptr %v3ba
%v3p = getelementptr double, ptr %v3b, i64 %i0
%v3 = load <8 x double>, ptr %v3p, align 8
%v5 = fdiv <8 x double> %v3, %v1
%i1 = add i64 %i0, 8
%v6ba = getelementptr i64, ptr %state, i64 0
%v6b = load ptr, ptr %v6ba
%v6p = getelementptr double, ptr %v6b, i64 %i1
%v6 = load <8 x double>, ptr %v6p, align 8
%v8 = fdiv <8 x double> %v6, %v1
%i2 = add i64 %i0, 16
%v9ba = getelementptr i64, ptr %state, i64 0
%v9b = load ptr, ptr %v9ba
%v9p = getelementptr double, ptr %v9b, i64 %i2
%v9 = load <8 x double>, ptr %v9p, align 8
%v11 = fdiv <8 x double> %v9, %v1
%i3 = add i64 %i0, 24
%v12ba = getelementptr i64, ptr %state, i64 0
%v12b = load ptr, ptr %v12ba
%v12p = getelementptr double, ptr %v12b, i64 %i3
%v12 = load <8 x double>, ptr %v12p, align 8
%v14 = fdiv <8 x double> %v12, %v1
%o0w0wba = getelementptr i64, ptr %state, i64 4
%o0w0wb = load ptr, ptr %o0w0wba
%o0w0wp = getelementptr double, ptr %o0w0wb, i64 %i0
store <8 x double> %v5, ptr %o0w0wp, align 8
%o0w1wba = getelementptr i64, ptr %state, i64 4
%o0w1wb = load ptr, ptr %o0w1wba
%o0w1wp = getelementptr double, ptr %o0w1wb, i64 %i1
store <8 x double> %v8, ptr %o0w1wp, align 8
%o0w2wba = getelementptr i64, ptr %state, i64 4
%o0w2wb = load ptr, ptr %o0w2wba
%o0w2wp = getelementptr double, ptr %o0w2wb, i64 %i2
store <8 x double> %v11, ptr %o0w2wp, align 8
%o0w3wba = getelementptr i64, ptr %state, i64 4
%o0w3wb = load ptr, ptr %o0w3wba
%o0w3wp = getelementptr double, ptr %o0w3wb, i64 %i3
store <8 x double> %v14, ptr %o0w3wp, align 8
%i_wide = add i64 %i0, 32
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
%v2 = fdiv <8 x double> %v0, %v1
%o0wba = getelementptr i64, ptr %state, i64 4
%o0wb = load ptr, ptr %o0wba
%o0wp = getelementptr double, ptr %o0wb, i64 %i
store <8 x double> %v2, ptr %o0wp, align 8
%j = add i64 %i, 8
%more = icmp slt i64 %j, %full
br i1 %more, label %loop, label %rest
rest:
%done = phi i64 [ %wide_end, %narrow ], [ %j, %loop ]
%left = sub i64 %count, %done
%is_partly = icmp sgt i64 %left, 0
br i1 %is_partly, label %tail, label %whole
tail:
call void @tj_tail_in(ptr %state, ptr %pads, ptr @softmax_rows_2_tail, i64 2, i64 %full, i64 %left)
br label %loop
whole:
%is_padded = icmp slt i64 %left, 0
br i1 %is_padded, label %unpad, label %unit_end
unpad:
%r = sub i64 %count, %full
call void @tj_tail_out(ptr %state, ptr %pads, ptr @softmax_rows_2_tail, i64 2, i64 %full, i64 %r)
br label %unit_end
unit_end:
%u_next = add i64 %u, 1
br label %units
exit:
ret void
}
define void @softmax_rows(ptr %args, ptr %meta, i64 %begin, i64 %end) nounwind {
entry:
%turn = load i64, ptr %meta
%args0 = getelementptr ptr, ptr %args, i64 0
%meta0 = getelementptr i64, ptr %meta, i64 1
%args1 = getelementptr ptr, ptr %args, i64 2
%meta1 = getelementptr i64, ptr %meta, i64 7
%args2 = getelementptr ptr, ptr %args, i64 6
%meta2 = getelementptr i64, ptr %meta, i64 17
br label %turns
turns:
%u = phi i64 [ %begin, %entry ], [ %stop, %take ]
%more = icmp slt i64 %u, %end
br i1 %more, label %take, label %exit
take:
%next = add i64 %u, %turn
%is_whole = icmp slt i64 %next, %end
%stop = select i1 %is_whole, i64 %next, i64 %end
call void @softmax_rows_0(ptr %args0, ptr %meta0, i64 %u, i64 %stop)
call void @softmax_rows_1(ptr %args1, ptr %meta1, i64 %u, i64 %stop)
call void @softmax_rows_2(ptr %args2, ptr %meta2, i64 %u, i64 %stop)
br label %turns
exit:
ret void
}
define void @softmax_rows_start(ptr %args, ptr %meta) nounwind {
%args0 = getelementptr ptr, ptr %args, i64 0
%meta0 = getelementptr i64, ptr %meta, i64 1
call void @softmax_rows_0_start(ptr %args0, ptr %meta0)
%args1 = getelementptr ptr, ptr %args, i64 2
%meta1 = getelementptr i64, ptr %meta, i64 7
call void @softmax_rows_1_start(ptr %args1, ptr %meta1)
ret void
}
